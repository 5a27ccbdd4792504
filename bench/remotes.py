"""Reading headers from a hub, which is conformance/hub.py, 50 ms away."""
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import types
import urllib.request
import zipfile

from run import WREG, best, goal, remove, run

LATENCY = 50
HUB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance", "hub.py")


class Hub:
    """hub.py in front of a folder of repositories."""

    def __init__(self, root):
        args, free = [sys.executable, HUB, "--root", root, "--latency", str(LATENCY)], [socket.socket() for _ in range(3)]
        for s, flag in zip(free, ("--port", "--cdn-port", "--evil-port")):
            s.bind(("127.0.0.1", 0))
            args += [flag, str(s.getsockname()[1])]
        for s in free:
            s.close()
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().strip().partition("=")[2]

    def ask(self, what, method="GET"):
        with urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/_test/{what}", method=method)) as f:
            return json.load(f)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.process.kill()
        self.process.wait()


def ingest(folder, hub, repo, *flags, fresh=True):
    """The run of wreg, and what the hub and its CDN were asked and sent for it."""
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "", "XDG_CACHE_HOME": f"{folder}/cache", "WREG_REGISTRY": f"{folder}/remote.db"}
    if fresh:
        for name in ("cache", "remote.db"):
            remove(f"{folder}/{name}")
    hub.ask("log", "DELETE")
    r = run(WREG, "ingest", f"hf://{repo}", *flags, env=env)
    stats = hub.ask("stats")
    r.asked, r.ranges = stats["hub"]["requests"], stats["cdn"]["requests"]
    r.bytes = stats["hub"]["bytes"] + stats["cdn"]["bytes"]
    return r


def tera(folder, shards=160):
    """1 TB of 160 shards like deepseek_v3's, 90,305 tensors: true headers, holes for data."""
    out = f"{folder}/hub/acme/tera"
    if os.path.exists(out):
        return
    os.makedirs(out)
    config = {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168, "num_hidden_layers": 61, "first_k_dense_replace": 3, "n_routed_experts": 256,
              "moe_intermediate_size": 3072, "vocab_size": 129280, "torch_dtype": "bfloat16"}
    tensors = [("model.embed_tokens.weight", "BF16", [129280, 7168])]

    def scaled(name, shape):
        tensors.append((f"{name}.weight", "F8_E4M3", shape))
        tensors.append((f"{name}.weight_scale_inv", "F32", [-(-shape[0] // 128), -(-shape[1] // 128)]))
    for layer in range(61):
        p = f"model.layers.{layer}."
        tensors.extend((p + n, "BF16", [7168]) for n in ("input_layernorm.weight", "post_attention_layernorm.weight"))
        for name, shape in (("q_a_proj", [1536, 7168]), ("q_b_proj", [24576, 1536]), ("kv_a_proj_with_mqa", [576, 7168]), ("kv_b_proj", [32768, 512]), ("o_proj", [7168, 16384])):
            scaled(f"{p}self_attn.{name}", shape)
        inner, parts = 18432, ["mlp."]
        if layer >= 3:
            inner, parts = 3072, [*(f"mlp.experts.{e}." for e in range(256)), "mlp.shared_experts."]
            tensors.extend([(p + "mlp.gate.weight", "BF16", [256, 7168]), (p + "mlp.gate.e_score_correction_bias", "F32", [256])])
        for part in parts:
            for name, shape in (("gate_proj", [inner, 7168]), ("up_proj", [inner, 7168]), ("down_proj", [7168, inner])):
                scaled(p + part + name, shape)
    tensors.extend([("model.norm.weight", "BF16", [7168]), ("lm_head.weight", "BF16", [129280, 7168])])

    def size(t):
        n = {"BF16": 2, "F8_E4M3": 1, "F32": 4}[t[1]]
        for d in t[2]:
            n *= d
        return n
    total = sum(map(size, tensors))
    where, rest, done = {}, iter([*tensors, None]), 0
    t = next(rest)
    for s in range(shards):
        name, header, at = f"model-{s + 1:05d}-of-{shards:06d}.safetensors", {"__metadata__": {"format": "pt"}}, 0
        while t and (done < total * (s + 1) / shards or s == shards - 1):
            header[t[0]], where[t[0]] = {"dtype": t[1], "shape": t[2], "data_offsets": [at, at + size(t)]}, name
            at, done, t = at + size(t), done + size(t), next(rest)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(f"{out}/{name}", "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            f.truncate(8 + len(text) + at)
    for name, value in (("config.json", config), ("model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})):
        with open(f"{out}/{name}", "w") as f:
            json.dump(value, f, indent=2)
    same = f"{folder}/hub/acme/index"
    os.makedirs(same)
    for name in os.listdir(out):
        if name != "config.json":
            os.link(f"{out}/{name}", f"{same}/{name}")
    with open(f"{same}/config.json", "w") as f:
        json.dump(dict(config, model_type="not-known"), f)


HF = """
import time
from huggingface_hub import HfApi
start = time.perf_counter()
m = HfApi().get_safetensors_metadata("acme/tera")
print(time.perf_counter() - start, sum(len(f.tensors) for f in m.files_metadata.values()))
"""


def bench_tera(folder):
    """ingest of 1 TB in 160 shards, 90,305 tensors, from a hub 50 ms away: headers alone"""
    tera(folder)
    with Hub(f"{folder}/hub") as hub:
        ours = best(3, lambda: ingest(folder, hub, "acme/tera"))
        goal("seconds", ours.wall, most=1.2)
        goal("requests, those of the CDN among them", ours.asked + ours.ranges, most=340)
        goal("MB that came", ours.bytes / 1e6, most=32)
        goal("MiB of memory", ours.mib, most=128)
        again = best(3, lambda: ingest(folder, hub, "acme/tera", "--quiet", fresh=False))
        goal("again: requests", again.asked + again.ranges, most=1)
        goal("again, without the verdict (--quiet): seconds", again.wall, most=0.15)
        index = best(3, lambda: ingest(folder, hub, "acme/index"))
        goal("of an architecture that is not known, so without a verdict: seconds", index.wall)
        goal("the same: MiB of memory", index.mib)
        env = dict(os.environ, HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="", HF_HOME=f"{folder}/hf", HF_HUB_DISABLE_PROGRESS_BARS="1")
        theirs = min(float(subprocess.run([sys.executable, "-c", HF], env=env, check=True, capture_output=True, text=True).stdout.split()[0]) for _ in range(3))
        goal("of the time of hf's get_safetensors_metadata, its imports taken off", ours.wall / theirs, most=0.35)


def bench_gguf(folder):
    """ingest of a GGUF of 62 GB, with a vocabulary of 150,000 words, from a hub 50 ms away"""
    import numpy as np
    from gguf import GGUFWriter
    out = f"{folder}/hub/acme/gguf"
    if not os.path.exists(out):
        os.makedirs(out)
        w = GGUFWriter(f"{out}/model.gguf", "qwen2")
        w.add_tokenizer_model("gpt2")
        w.add_token_list([f"word{i}_{'x' * (i % 9)}" for i in range(151936)])
        w.add_token_merges([f"ab{i} cd{i}" for i in range(151387)])
        total = 0
        for layer in range(64):
            for name, shape in (("attn_q", [5120, 5120]), ("attn_k", [1024, 5120]), ("attn_v", [1024, 5120]), ("attn_output", [5120, 5120]), ("ffn_gate", [27648, 5120]),
                                ("ffn_up", [27648, 5120]), ("ffn_down", [5120, 27648])):
                n = 2 * shape[0] * shape[1]
                w.add_tensor_info(f"blk.{layer}.{name}.weight", shape, np.dtype("float16"), n)
                total += n
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_ti_data_to_file()
        head = w.fout[0].tell()
        w.close()
        os.truncate(f"{out}/model.gguf", (head + 31) // 32 * 32 + total)
    with Hub(f"{folder}/hub") as hub:
        ours = best(3, lambda: ingest(folder, hub, "acme/gguf"))
        goal("ranges", ours.ranges, most=5)
        goal("seconds", ours.wall, most=1)


def bench_torch(folder):
    """ingest of a torch zip of 1,000 records, half of them large, from a hub 50 ms away"""
    out = f"{folder}/hub/acme/torch"
    if not os.path.exists(out):
        os.makedirs(out)
        torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

        def _rebuild_tensor_v2():
            pass
        _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
        torch.ByteStorage = type("ByteStorage", (), {"__module__": "torch"})
        utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
        was = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
        sys.modules.update({"torch": torch, "torch._utils": utils})

        class Storage:
            def __init__(self, key, n):
                self.id = ("storage", torch.ByteStorage, str(key), "cpu", n)

        class Tensor:
            def __init__(self, key, n):
                self.key, self.n = key, n

            def __reduce__(self):
                return _rebuild_tensor_v2, (Storage(self.key, self.n), 0, (self.n,), (1,), False, {})

        class Pickler(pickle._Pickler):
            def persistent_id(self, obj):
                return obj.id if isinstance(obj, Storage) else None
        sizes = [200 << 10 if i % 2 else 64 for i in range(1000)]
        with zipfile.ZipFile(f"{out}/pytorch_model.bin", "w") as z:
            with z.open("archive/data.pkl", "w") as f:
                Pickler(f, 2).dump({f"layers.{i}.weight": Tensor(i, n) for i, n in enumerate(sizes)})
            for i, n in enumerate(sizes):
                z.writestr(f"archive/data/{i}", bytes(n))
        for name, module in was.items():
            del sys.modules[name]
            if module:
                sys.modules[name] = module
    with Hub(f"{folder}/hub") as hub:
        ours = best(3, lambda: ingest(folder, hub, "acme/torch"))
        goal("ranges", ours.ranges, most=510)
        goal("seconds", ours.wall, most=1)
