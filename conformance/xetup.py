"""Puts the files of a folder into a CAS for hub.py --xet, and writes the map of their SHA-256 to Xet hashes.

python conformance/xetup.py FOLDER http://127.0.0.1:PORT MAP.json"""
import glob
import hashlib
import json
import sys
import time

import hf_xet

folder, cas, out = sys.argv[1:]
files = sorted(glob.glob(f"{folder}/*.safetensors"))
token = ("t", int(time.time()) + 900)
infos = hf_xet.upload_files(files, cas, token, lambda: token, None, "model")
with open(out, "w") as f:
    json.dump({hashlib.sha256(open(name, "rb").read()).hexdigest(): info.hash for name, info in zip(files, infos)}, f)
