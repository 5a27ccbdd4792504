"""What torch itself reads: python torch_reference.py FILE... > reference.json

Not run by run.py, which has no torch: what it wrote is kept beside the tests that compare. It
runs what is in the files, as torch.load does, so only on files that are trusted; classes that
are not installed are replaced by empty ones. A tensor's path is its keys joined by dots, as
docs/formats.md has it; its hash is that of its contiguous little-endian bytes."""
import collections
import hashlib
import json
import os
import pickle
import sys
import types

import numpy as np
import torch

NAMES = {"float": "f", "bfloat": "bf", "uint": "u", "int": "i", "complex": "c"}


class Missing(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return stub(cls.__module__, f"{cls.__name__}.{name}")


class Stub(metaclass=Missing):
    """An instance of a class that is not installed."""

    def __init__(self, *args, **kwargs):
        self.__dict__["stub_args"] = args

    def __setstate__(self, state):
        self.__dict__["stub_state"] = state

    def __setitem__(self, key, value):
        self.__dict__.setdefault("stub_items", {})[key] = value

    def __reduce_ex__(self, protocol):
        state = self.__dict__.get("stub_state", {})
        return Stub, (), {**self.__dict__.get("stub_items", {}), **state} if isinstance(state, dict) else state

    def __call__(self, *args, **kwargs):
        return self


def stub(module, name):
    return Missing(name, (Stub,), {"__module__": module})


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return stub(module, name)


loose = types.ModuleType("loose")
loose.__dict__.update({**vars(pickle), "Unpickler": Unpickler})


def dtype(text):
    text = text.removeprefix("torch.")
    if text.startswith("float8"):
        return {"float8_e4m3fn": "f8_e4m3", "float8_e5m2": "f8_e5m2"}[text]
    name = text.rstrip("0123456789")
    return NAMES.get(name, name) + text[len(name):]


def entry(value):
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        return [dtype(str(value.dtype)), list(value.shape), hashlib.sha256(flat.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()]
    little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
    return [dtype(value.dtype.name), list(value.shape), hashlib.sha256(little.tobytes()).hexdigest()]


def text(i, key):
    return str(i) if isinstance(key, (torch.Tensor, frozenset)) else str(key)


def children(value):
    """The keys and values of whatever holds some, as its pickle has them."""
    if isinstance(value, np.ndarray):
        return list(enumerate(value.flat)) if value.dtype == object else []
    if isinstance(value, dict) and type(value) in (dict, collections.OrderedDict, collections.defaultdict):
        return [(text(i, k), v) for i, (k, v) in enumerate(value.items())]
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, types.MethodType):
        return [("__self__", value.__self__)]
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, str, bytes, int, float, complex, bool, type(None), np.generic, set)):
        return []
    if isinstance(value, torch.fx.GraphModule):
        state = value.__reduce__()[1][0]
    else:
        try:
            reduced = value.__reduce_ex__(2)
        except Exception:
            return []
        state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    if isinstance(state, dict):
        return [(str(k), v) for k, v in state.items()]
    return list(enumerate(state)) if isinstance(state, tuple) else []


def walk(value, path, out, above, seen):
    if isinstance(value, torch.Tensor) or isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and not isinstance(value, np.ma.MaskedArray):
        name, n = ".".join(path), 1
        while name in out:
            n += 1
            name = f"{'.'.join(path)}#{n}"
        out[name] = entry(value)
        return
    if isinstance(value, np.ma.MaskedArray) or id(value) in above:
        return
    if not isinstance(value, (dict, list, tuple, torch.nn.Module)):
        if id(value) in seen:
            return
        seen[id(value)] = value
    for key, child in children(value):
        walk(child, path + [str(key)], out, above | {id(value)}, seen)


def read(file):
    if file.endswith(".pt2"):
        program = torch.export.load(file)
        return {**program.state_dict, **({"constants": program.constants} if program.constants else {})}
    if file.endswith("script.pt"):
        return dict(torch.jit.load(file).state_dict())
    return torch.load(file, map_location="cpu", weights_only=False, pickle_module=loose)


def main(files):
    all = {}
    for file in files:
        out = {}
        walk(read(file), [], out, frozenset(), {})
        all[os.path.basename(file)] = out
    lines = [json.dumps(f) + ": {\n" + ",\n".join("  " + json.dumps(p) + ": " + json.dumps(t) for p, t in sorted(ts.items())) + "\n}" for f, ts in all.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1:])
