"""Asks the installed mlx_lm what it expects for a config.json, without weights.

usage: expected_params.py CONFIG.json... -o DIR

Writes DIR/NAME.json for each: the config, then every parameter in module order
(the order that decides shards): name, shape, whether the dtype cast touches it,
and, for the weight of a module that -q may quantize, what the model's own
predicate says (true, false, or {"group_size", "bits"}).
"""
import json
import os
import sys
import types

import mlx.core as mx  # noqa: F401  (mlx must load before mlx_lm's models)
from mlx.utils import tree_flatten
from mlx_lm.utils import _decode_tagged_floats, _get_classes

# mlx_lm's olmo looks whether this package is there, and uses nothing of it.
sys.modules.setdefault("hf_olmo", types.ModuleType("hf_olmo"))


def expected(config):
    cls, args = _get_classes(_decode_tagged_floats(config))
    model = cls(args.from_dict(_decode_tagged_floats(config)))
    cast = getattr(model, "cast_predicate", lambda _: True)
    predicate = getattr(model, "quant_predicate", None) or (lambda *_: True)
    quant = {}
    for path, module in model.named_modules():
        if hasattr(module, "to_quantized"):
            quant[path + ".weight"] = predicate(path, module)
    rows = []
    for name, value in tree_flatten(model.parameters()):
        row = {"name": name, "shape": list(value.shape)}
        if not cast(name):
            row["cast"] = False
        if name in quant:
            row["quant"] = quant[name]
        rows.append(row)
    return rows


def main():
    out = sys.argv[sys.argv.index("-o") + 1]
    os.makedirs(out, exist_ok=True)
    bad = 0
    for path in sys.argv[1 : sys.argv.index("-o")]:
        with open(path) as f:
            config = json.load(f)
        name = os.path.basename(path)
        if "source" in config and "variants" in config:  # a golden
            config = config["config"]
        try:
            rows = expected(json.loads(json.dumps(config)))
        except BaseException as e:  # a module may call sys.exit
            print(f"{name}: {type(e).__name__}: {e}", file=sys.stderr)
            bad += 1
            continue
        with open(os.path.join(out, name), "w") as f:
            f.write('{"config": ' + json.dumps(config) + ',\n"params": [\n')
            f.write(",\n".join(json.dumps(r) for r in rows) + "\n]}\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
