"""What the action and the hooks run, on the built binary."""
import json
import os
import pathlib
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
