"""Datasets: tensors in one memory-mappable file, with a manifest that makes each auditable."""
