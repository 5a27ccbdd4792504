package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/registry"
	"wreg/registry/tensor"
)

// verifyOptions are the flags of wreg verify.
type verifyOptions struct {
	runtime bool
	trust   bool
	jobs    int
}

func verifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify MODEL|DIR",
		Short: "read every byte again and compare with what was recorded",
		Long: `Re-derives everything from the bytes on disk. A folder that wreg exported is
compared with its receipt; a model, with what the registry recorded. A word is a
model's name before it is a folder's; ./DIR is a path. Every
fault is reported, with the tensor and, in a stack, the expert; what could not
be checked is said. --runtime also loads the folder in the installed mlx_lm and
runs one forward pass, and its tokenizer, where there is one. Python is WREG_PYTHON, else the active VIRTUAL_ENV's, else
python3 on PATH, never one in the folder; it runs isolated, in an empty folder. A
folder with code of its own (*.py, model_file or auto_map in a *config.json) is
refused: --trust-remote-code lets that code run, with all the rights that you have.`,
		Example: `  wreg verify hunyuan-mlx
  wreg verify ./hunyuan-mlx --runtime`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.verify(c.Context(), args[0], o) },
	}
	c.Flags().BoolVar(&o.runtime, "runtime", false, "also load it and its tokenizer in mlx_lm and run one forward pass")
	c.Flags().BoolVar(&o.trust, "trust-remote-code", false, "with --runtime: let code in the folder run, with your rights")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 0, "workers (default one per core)")
	return describe(c, "0 everything is as recorded, 1 faults, 2 trouble (unreadable, nothing recorded, or --runtime could not run)")
}

func (a *app) verify(ctx context.Context, what string, o verifyOptions) error {
	dir, v, err := a.verifySubject(what)
	if err != nil {
		return err
	}
	if v != nil {
		if err := mustBeHere(v); err != nil {
			return err
		}
		dir = v.Root
	}
	switch {
	case o.runtime: // refused before hours of reading
		if _, err := runtimePython(ctx, dir, o.trust); err != nil {
			return err
		}
	case o.trust:
		return errors.New("--trust-remote-code is for --runtime: nothing else runs code")
	}
	faults, err := a.verifyBytes(ctx, dir, v, o)
	if err != nil {
		return err
	}
	if o.runtime {
		f, err := a.verifyInRuntime(ctx, dir, o.trust)
		if err != nil {
			return err
		}
		faults = append(faults, f...)
	}
	at := place{dir, "config.json"}
	if v != nil {
		at = placeOf(v.Root, v.Files)
	}
	rep := &report{rule: "verify", at: []place{at}, head: []field{{"verified", what}}, columns: []string{"file", "tensor", "expert", "message"}}
	for _, f := range faults {
		var expert any
		if f.Expert > 0 {
			expert = int64(f.Expert - 1)
		}
		rep.rows = append(rep.rows, []any{f.File, f.Tensor, expert, f.Message})
	}
	return a.conclude(rep, len(faults) > 0, what+": "+tensor.Count(len(faults), "fault"), what+": every byte is as recorded")
}

// verifySubject finds a model by its name, or a folder or file by its path. A name
// must be asked of the registry: when that cannot be, nothing else speaks for it. A
// folder that has no receipt is looked for in the registry.
func (a *app) verifySubject(what string) (dir string, v *registry.Revision, err error) {
	var none error
	if !isPath(what) {
		if v, none, err = a.named(what); err != nil || v != nil {
			return "", v, err
		}
	}
	info, err := os.Stat(what)
	switch {
	case errors.Is(err, fs.ErrNotExist) && none != nil:
		return "", nil, fmt.Errorf("%s: no path, and %w", what, none)
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, fmt.Errorf("%s: no such file or directory", what)
	case err != nil:
		return "", nil, err
	}
	if dir, err = filepath.Abs(what); err != nil {
		return "", nil, err
	}
	if !receipt.In(dir) {
		if v, err = a.ingestedFrom(dir); err == nil && v == nil && !info.IsDir() {
			err = fmt.Errorf("%s: is a file that was not ingested by itself; name its folder, or its model", what)
		}
		return dir, v, err
	}
	switch {
	case errors.Is(none, errNoRegistry):
		a.say("%s: %v; the folder is compared with its own receipt", what, none)
	case none != nil:
		a.say("%s: not a model of the registry; the folder is compared with its own receipt", what)
	}
	return dir, nil, nil
}

// named finds a model of the registry; none says why there is no such model. A
// registry that was named and is not there cannot say so.
func (a *app) named(model string) (v *registry.Revision, none, err error) {
	v, none, err = a.find(model)
	if err == nil && errors.Is(none, errNoRegistry) && (a.registry != "" || os.Getenv("WREG_REGISTRY") != "") {
		path, _ := a.registryPath()
		return nil, nil, fmt.Errorf("%w; ./%s verifies a folder of that name", mustExist(path), model)
	}
	return v, none, err
}

// ingestedFrom is the newest revision that was read from a path.
func (a *app) ingestedFrom(path string) (found *registry.Revision, err error) {
	if there, err := a.mayAsk(); err != nil || !there {
		return nil, err
	}
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		models, err := s.Models()
		for i := 0; err == nil && i < len(models); i++ {
			var all []*registry.Revision
			all, err = s.Revisions(models[i].Model)
			for _, v := range all {
				if v.Root == path && (found == nil || v.Created.After(found.Created)) {
					found = v
				}
			}
		}
		return err
	})
	if found != nil {
		a.say("%s: is %s", path, found.Ref())
	}
	return found, err
}

// verifyBytes checks a folder against its receipt, or a checkpoint against what the
// registry recorded. Of an export the registry's copy of the receipt counts, so that a
// changed receipt proves nothing.
func (a *app) verifyBytes(ctx context.Context, dir string, v *registry.Revision, o verifyOptions) ([]tensor.Finding, error) {
	m := a.meter(dir, bytesBelow(dir))
	opts := receipt.Options{Jobs: o.jobs, Progress: func(done, total int64) { m.set(done, total) }}
	var res *receipt.Verification
	var err error
	if v != nil && v.Receipt == nil {
		var tensors []tensor.Info
		err = a.read(func(_ *registry.Registry, s *registry.Snapshot) (err error) {
			tensors, err = export.Recorded(ctx, s, v)
			return err
		})
		if err == nil {
			res, err = receipt.VerifyModel(ctx, v, tensors, opts)
		}
	} else {
		if v != nil {
			opts.Receipt = v.Receipt
		}
		res, err = receipt.Verify(ctx, dir, opts)
	}
	m.stop()
	if err != nil {
		return nil, err
	}
	for _, n := range res.NotChecked {
		a.say("not checked: %s", n)
	}
	a.say("%s: %s, %s read", dir, tensor.Count(res.Tensors, "tensor"), size(res.Bytes))
	return res.Faults, nil
}

func (a *app) verifyInRuntime(ctx context.Context, dir string, trust bool) ([]tensor.Finding, error) {
	if trust {
		a.say("--trust-remote-code: code in %s may run, with your rights", dir)
	}
	res, err := verifyRuntime(ctx, dir, trust)
	if err != nil {
		return nil, err
	}
	consumer := fmt.Sprintf("mlx_lm %s (mlx %s)", res.MLXLM, res.MLX)
	var faults []tensor.Finding
	switch {
	case res.Error != "":
		faults = append(faults, tensor.Finding{File: dir, Message: consumer + " refuses it: " + res.Error})
	case !res.Finite:
		faults = append(faults, tensor.Finding{File: dir, Message: consumer + " loads it, but its logits are not finite"})
	default:
		a.say("%s loads it strictly; one forward pass gives logits %v", consumer, res.Logits)
	}
	switch t := res.Tokenizer; {
	case res.TokenizerError != "":
		faults = append(faults, tensor.Finding{File: cmp.Or(res.TokenizerFile, dir), Message: fmt.Sprintf("%s cannot use the tokenizer (%s): %s",
			consumer, cmp.Or(res.TokenizerFile, "which of its files is to blame was not found"), res.TokenizerError)})
	case t == nil || *t == "":
		a.say("not checked: the folder has no tokenizer to load")
	default:
		a.say("%s loads its tokenizer, a %s", consumer, *t)
	}
	return faults, nil
}

// bytesBelow is the size of a folder's files, for the meter.
func bytesBelow(dir string) (n int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() {
			n += st.Size()
		}
	}
	return n
}
