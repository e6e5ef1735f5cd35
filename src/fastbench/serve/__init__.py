"""The embedded server: speaks RedisAI's commands, executes with onnxruntime (or TorchScript)."""
