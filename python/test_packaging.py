"""What the action, the hooks and the image run, on the built binary."""
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import unittest

import wheels


class Check(unittest.TestCase):
    def check(self, *args):
        p = subprocess.run(["bash", str(wheels.ROOT / "packaging/check"), *args], cwd=self.dir, capture_output=True, text=True)
        return p.returncode, p.stdout + p.stderr

    def test_check(self):
        """0, 1 and 2 are the worst of what was asked; SARIF is whole; no registry is left or touched."""
        folder = tempfile.TemporaryDirectory(prefix="wreg-check-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        for name, lost in ("whole", []), ("-odd one", ["--without", "layers.3.mlp.experts.2.up_proj.weight"]):
            subprocess.run([os.environ["WREG"], "synth", "--quiet", "--arch", "hunyuan", f"--out=./{name}", *lost], cwd=self.dir, check=True)
        moe = str(wheels.ROOT / "docs/checks/moe.checks")
        self.assertEqual(self.check("whole", moe)[0], 0, self.check("whole", moe))
        status, said = self.check("-odd one", "", "found.sarif")
        self.assertEqual(status, 1, said)
        self.assertIn("experts.2.up_proj", said)
        sarif = json.loads((self.dir / "found.sarif").read_text())
        self.assertEqual([r["ruleId"] for r in sarif["runs"][0]["results"]], ["architecture-missing"])
        result = sarif["runs"][0]["results"][0]
        self.assertEqual(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "-odd%20one/model.safetensors.index.json")
        self.assertIn("primaryLocationLineHash", result["partialFingerprints"])
        status, said = self.check("-odd one", moe)
        self.assertEqual(status, 1, said)
        self.assertIn("::experts-missing: expected none", said)
        self.assertEqual(self.check("whole", "no-such.checks")[0], 2)
        self.assertEqual(self.check("no-such-model", "", "none.sarif")[0], 2)
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()), ["-odd one", "found.sarif", "none.sarif", "whole"])

    def test_action(self):
        """The steps of action.yml that are commands, as a runner runs them, from a folder that is not the action's."""
        text = (wheels.ROOT / "action.yml").read_text()
        folder = tempfile.TemporaryDirectory(prefix="wreg-action-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        subprocess.run([os.environ["WREG"], "synth", "--quiet", "--arch", "hunyuan", "--out", "a model",
                        "--without", "layers.3.mlp.experts.2.up_proj.weight"], cwd=self.dir, check=True)
        inputs = dict.fromkeys(re.findall(r"^  (\w+):\n    description:", text, re.M), "") | {"checkpoint": "./a model"}
        env = {k: v for k, v in os.environ.items() if k != "WREG"}
        env |= {"GITHUB_ACTION_PATH": str(wheels.ROOT), "RUNNER_TEMP": str(self.dir)}
        env |= {name: inputs[of] for name, of in re.findall(r"^      (\w+): \$\{\{ inputs\.(\w+) \}\}$", text, re.M)}
        said = [subprocess.run(["bash", "-eo", "pipefail", "-c", step], cwd=self.dir, env=env, capture_output=True, text=True)
                for step in re.findall(r"^    run: (.+)$", text, re.M)]
        self.assertEqual([p.returncode for p in said], [0, 1], [p.stderr for p in said])
        self.assertIn("::error file=a model/model.safetensors.index.json,title=architecture-missing::", said[1].stdout)
        uploaded = re.search(r"sarif_file: \$\{\{ runner\.temp \}\}/(\S+)", text)[1]
        self.assertEqual(len(json.loads((self.dir / uploaded).read_text())["runs"][0]["results"]), 1)

    def test_hooks(self):
        """Every hook is a verb with what it takes."""
        text = (wheels.ROOT / ".pre-commit-hooks.yaml").read_text()
        entries = re.findall(r"^  entry: wreg (\w+)$", text, re.M)
        self.assertEqual(len(entries), text.count("- id:"))
        for verb in entries:
            subprocess.run([os.environ["WREG"], verb, "--help"], check=True, capture_output=True)

    def test_alone(self):
        """The binary of the image asks for no loader: there is nothing around it. What the image starts is what was built."""
        with tempfile.TemporaryDirectory(prefix="wreg-alone-") as folder:
            path = pathlib.Path(folder, "wreg")
            wheels.compile(path, "linux", "amd64")
            data = path.read_bytes()
        start, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        kinds = [struct.unpack_from("<I", data, start + i * size)[0] for i in range(count)]
        self.assertIn(1, kinds)  # PT_LOAD
        self.assertNotIn(3, kinds)  # PT_INTERP
        text = (wheels.ROOT / "Dockerfile").read_text()
        built = re.search(r"-o /out(\S+)", text)[1]
        self.assertEqual(re.findall(r'^ENTRYPOINT \["(.+)"\]$', text, re.M), [built] * 2)
