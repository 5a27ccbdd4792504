"""Asks the installed mlx_lm which keys of a config.json it cannot do without.

usage: config_keys.py > export/mlxconfig/keys.txt

Of the small config of each model_type, each key is taken out in turn: where the
class of the arguments then says that this one is missing, it is required, whatever else
the config says. A key that is required and may be null has a question mark. Below that are
the keys that are a number in every module that has them."""
import collections
import contextlib
import copy
import dataclasses
import importlib
import json
import pkgutil
import re
import types
import typing
from pathlib import Path

import expected_params  # first: it lets every module be imported
import mlx.core as mx
import mlx_lm.models
from mlx_lm.utils import MODEL_REMAPPING, _decode_tagged_floats, _get_classes

CONFIGS = Path(__file__).parent.parent / "synth/configs"

NO_CPU = {"bitnet", "muse_spark"}  # their forward passes are Metal kernels

# The keys of their text_config depend on the model_type in it.
OTHER_TEXT = {"mistral3", "llava"}


def built(config):
    cls, args = _get_classes(config)
    return cls(args.from_dict(config))


def runs(config):
    mx.eval(built(copy.deepcopy(config))(mx.array([[1, 2]])))


def fails(do, config):
    with contextlib.suppress(Exception):
        do(copy.deepcopy(config))
        return False
    return True


def paths(o, at=()):
    for key, value in o.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from paths(value, (*at, key))


def changed(config, path, value=None):
    """A copy in which a key has a value, or is not there."""
    config = at = copy.deepcopy(config)
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value[0]
    return config


def required(config):
    """The keys that are required, and whether they may be null."""
    run = built if config["model_type"] in NO_CPU or fails(runs, config) else runs
    for path in paths(config):
        if path == ("model_type",) or len(path) > 1 and config["model_type"] in OTHER_TEXT:
            continue
        try:
            built(changed(config, path))
        except TypeError as e:
            names = re.search(r"missing \d+ required positional arguments?: (.*)", str(e))
            if names and repr(path[-1]) in names[1]:
                yield ".".join(path), not fails(run, changed(config, path, [None]))
        except Exception:
            pass


def kinds(hint):
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {k for t in typing.get_args(hint) for k in kinds(t)}
    return {"number" if hint in (int, float, bool) else hint}


def numbers():
    of = collections.defaultdict(set)
    for info in pkgutil.iter_modules(mlx_lm.models.__path__):
        module = importlib.import_module("mlx_lm.models." + info.name)
        for c in vars(module).values():
            if isinstance(c, type) and dataclasses.is_dataclass(c) and c.__module__ == module.__name__:
                hints = typing.get_type_hints(c)
                for field in dataclasses.fields(c):
                    of[field.name] |= kinds(hints[field.name])
    return sorted(key for key, what in of.items() if what - {type(None)} == {"number"})


def table():
    keys = {}
    for file in sorted(CONFIGS.glob("*.json")):
        config = _decode_tagged_floats(json.loads(file.read_text()))
        if not fails(built, config):
            keys[config["model_type"]] = dict(required(config))
    for alias, module in MODEL_REMAPPING.items():
        keys.setdefault(alias, keys.get(module, {}))
    lines = [" ".join([m, *(k + "?" * null for k, null in sorted(keys[m].items()))]) for m in sorted(keys) if keys[m]]
    return "\n".join([f"# What mlx_lm {mlx_lm.__version__} requires of a config.json, by model_type (conformance/config_keys.py writes this).", *lines, "# Numbers in every module:", *numbers()])


if __name__ == "__main__":
    print(table())
