# What the scripts of a lab share: their settings, all from the environment. Sourced, not run.
#   TARGET       the server, redisai://host:port                       (needed)
#   WORKLOAD     vision (default) or fraud
#   DEVICE       cpu (default) or gpu: where the server runs the model
#   MODEL        built-in model or model file             (default: the workload's own)
#   DATASET      folder made by 'fastbench data'          (default: a synthetic sample)
#   CLIENTS      connections, each with one inference in flight        (default: 1 16 32 ... 160)
#   REPETITIONS  passes at each setting                                (default: 3)
#   DURATION     seconds of measuring per pass                         (default: 30)
#   WARMUP       seconds of load before that                           (default: 5)
#   OUT          folder for the results                                (default: lab-results)
#   FASTBENCH    how fastbench is called                               (default: fastbench)
set -euo pipefail
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }
commas() { local IFS=,; echo "$*"; }

TARGET=${TARGET:-}
WORKLOAD=${WORKLOAD:-vision}
DEVICE=${DEVICE:-cpu}
OUT=${OUT:-lab-results}
read -ra CLIENTS <<<"${CLIENTS:-1 16 32 48 64 80 96 112 128 144 160}"
read -ra FASTBENCH <<<"${FASTBENCH:-fastbench}"

[ -n "$TARGET" ] || die "TARGET is not set; e.g. TARGET=redisai://10.0.0.5:6379"
case $WORKLOAD in vision | fraud) ;; *) die "WORKLOAD=$WORKLOAD: must be vision or fraud" ;; esac
case $DEVICE in cpu | gpu) ;; *) die "DEVICE=$DEVICE: must be cpu or gpu" ;; esac
command -v "${FASTBENCH[0]}" >/dev/null || die "${FASTBENCH[0]} is not there; scripts/quickstart installs it"

sweep() { # sweep NAME OPTIONS...: results go to $OUT/NAME
    local options=(--workload "$WORKLOAD" --device "$DEVICE")
    [ -z "${MODEL:-}" ] || options+=(--model "$MODEL")
    [ -z "${DATASET:-}" ] || options+=(--dataset "$DATASET")
    "${FASTBENCH[@]}" sweep run "$TARGET" "${options[@]}" --repetitions "${REPETITIONS:-3}" \
        --duration "${DURATION:-30}" --warmup "${WARMUP:-5}" \
        --out "$OUT/$1" "${@:2}"
}
