"""Load a checkpoint in the installed mlx_lm and run one forward pass."""
import inspect
import json
import sys
from importlib.metadata import version
from pathlib import Path

try:
    import mlx.core as mx
    from mlx_lm.utils import load_model
except Exception as e:  # absent, or installed for another platform
    print(json.dumps({"unavailable": f"{type(e).__name__}: {e}"}))
    sys.exit(0)

result = {"mlx": version("mlx"), "mlx_lm": version("mlx-lm")}
try:
    options = {"lazy": False, "strict": True}
    if "trust_remote_code" in inspect.signature(load_model).parameters:
        options["trust_remote_code"] = "--trust-remote-code" in sys.argv[2:]
    model, config = load_model(Path(sys.argv[1]), **options)
    if not mx.metal.is_available():
        model.set_dtype(mx.float32)  # the CPU multiplies experts in float32 only
    logits = model(mx.array([[0, 1, 2]]))
    logits = getattr(logits, "logits", logits)
    mx.eval(logits)
    result["logits"] = list(logits.shape)
    result["finite"] = bool(mx.all(mx.isfinite(logits)).item())
except Exception as e:
    result["error"] = f"{type(e).__name__}: {e}"
print(json.dumps(result))
