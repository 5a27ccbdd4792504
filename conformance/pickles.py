"""Files that torch.save wrote for others are read as torch reads them.

pesto-pitch.json is what torch 2.15 made of the two checkpoints in that package's wheel, one
a whole Lightning checkpoint with a config of OmegaConf in it: torch_reference.py wrote it."""
import json
import os
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))


def check_pesto_pitch(folder, wreg):
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
                    "--require-hashes", "-r", f"{HERE}/pesto-pitch.txt", "--dest", folder], check=True)
    with open(f"{HERE}/pesto-pitch.json") as f:
        reference = json.load(f)
    wheel = next(f for f in os.listdir(folder) if f.endswith(".whl"))
    with zipfile.ZipFile(f"{folder}/{wheel}") as z:
        for name in z.namelist():
            if name.endswith(".ckpt"):
                z.extract(name, folder)
                want = reference.pop(os.path.basename(name))
                wreg("ingest", f"{folder}/{name}", "--name", "m")
                rows = json.loads(wreg("query", "find * in m select path, dtype, shape, hash", "--format", "json"))["rows"]
                got = {r["path"]: [r["dtype"], r["shape"], r["hash"].removeprefix("sha256:")] for r in rows}
                assert got == want, f"{name}: {got}\nagainst\n{want}"
    assert not reference, f"not in the wheel: {list(reference)}"
