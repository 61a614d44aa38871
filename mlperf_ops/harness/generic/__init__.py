"""Any ONNX model under LoadGen with generated inputs: performance only (`mlperf-ops loadgen-onnx`).

`launch` starts one process per scenario and reads what it left; `__main__` is that process.
"""
