"""Load a checkpoint in the installed mlx_lm, run one forward pass and load its tokenizer."""
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

# What a tokenizer is loaded from, and which file is to blame when it is not.
JSONS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
OTHERS = ("tokenizer.model", "spiece.model", "tiktoken.model", "*.tiktoken", "vocab.txt", "merges.txt")


def load_tokenizer(folder, trust):
    """The tokenizer, as mlx_lm loads it; None when there is none."""
    files = [p for name in JSONS + OTHERS for p in folder.glob(name)]
    if not any(p.name not in ("special_tokens_map.json", "added_tokens.json") for p in files):
        return None
    from mlx_lm import utils

    load = getattr(utils, "load_tokenizer", None)
    if load is None:
        from mlx_lm.tokenizer_utils import load_tokenizer as load
    return load(folder, {"trust_remote_code": True} if trust else {})


def blamed(folder):
    """The file because of which a tokenizer cannot be loaded, as far as one by one tells."""
    for name in JSONS:
        path = folder / name
        try:
            if path.exists():
                json.loads(path.read_text(encoding="utf-8"))
        except Exception:
            return name
    try:
        if (folder / "tokenizer.json").exists():
            from tokenizers import Tokenizer

            Tokenizer.from_file(str(folder / "tokenizer.json"))
            return "tokenizer_config.json" if (folder / "tokenizer_config.json").exists() else ""
    except Exception:
        return "tokenizer.json"
    return next((p.name for name in OTHERS for p in folder.glob(name)), "")


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
try:
    tokenizer = load_tokenizer(Path(sys.argv[1]), "--trust-remote-code" in sys.argv[2:])
    result["tokenizer"] = "" if tokenizer is None else type(getattr(tokenizer, "_tokenizer", tokenizer)).__name__
    if tokenizer is not None and "logits" in result:
        most, rows = max([int(i) for i in tokenizer.encode("wreg reads weights")], default=0), result["logits"][-1]
        if most >= rows:
            result["tokenizer_file"] = blamed(Path(sys.argv[1]))
            result["tokenizer_error"] = f"it gives token {most}, of which the model has none: {rows} logits"
except Exception as e:
    result["tokenizer_file"] = blamed(Path(sys.argv[1]))
    result["tokenizer_error"] = f"{type(e).__name__}: {e}"
print(json.dumps(result))
