package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"wreg/export"
	"wreg/ingest"
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
compared with its receipt; a model, with what the registry recorded. Every
fault is reported, with the tensor and, in a stack, the expert; what could not
be checked is said. --runtime also loads the folder in the installed mlx_lm and
runs one forward pass. Python is WREG_PYTHON, else the active VIRTUAL_ENV's, else
python3 on PATH, never one in the folder; it runs isolated, in an empty folder. A
folder with code of its own (*.py, model_file or auto_map in a *config.json) is
refused: --trust-remote-code lets that code run, with all the rights that you have.`,
		Example: `  wreg verify hunyuan-mlx
  wreg verify ./hunyuan-mlx --runtime`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeModels,
		RunE:              func(c *cobra.Command, args []string) error { return a.verify(c.Context(), args[0], o) },
	}
	c.Flags().BoolVar(&o.runtime, "runtime", false, "also load it in mlx_lm and run one forward pass")
	c.Flags().BoolVar(&o.trust, "trust-remote-code", false, "with --runtime: let code in the folder run, with your rights")
	c.Flags().IntVarP(&o.jobs, "jobs", "j", 0, "workers (default one a core)")
	return describe(c, "0 everything is as recorded, 1 faults, 2 trouble (unreadable, nothing recorded, or --runtime could not run)")
}

func (a *app) verify(ctx context.Context, what string, o verifyOptions) error {
	dir, v, err := a.verifySubject(what)
	if err != nil {
		return err
	}
	switch {
	case o.runtime: // refused before hours of reading
		if _, err := runtimePython(ctx, dir, o.trust); err != nil {
			return err
		}
	case o.trust:
		return errors.New("--trust-remote-code is for --runtime: nothing else runs code")
	}
	var faults []export.Fault
	if v != nil && v.Receipt == nil {
		faults, err = a.verifyModel(ctx, v, o)
	} else {
		faults, err = a.verifyExport(ctx, dir, v, o)
	}
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
	rep := &report{head: []field{{"verified", what}}, columns: []string{"file", "tensor", "expert", "message"}}
	for _, f := range faults {
		var expert any
		if f.Expert >= 0 {
			expert = int64(f.Expert)
		}
		rep.rows = append(rep.rows, []any{f.File, f.Tensor, expert, f.Message})
	}
	if err := a.print(rep); err != nil {
		return err
	}
	if len(faults) > 0 {
		a.say("%s: %s", what, count(len(faults), "fault"))
		return errFindings
	}
	a.say("%s: every byte is as recorded", what)
	return nil
}

// verifySubject finds a model by its name, or else a folder or file on disk.
func (a *app) verifySubject(what string) (dir string, v *registry.Revision, err error) {
	if v, err = a.latest(what); err == nil && v != nil {
		return v.Root, v, nil
	}
	if _, statErr := os.Stat(what); statErr != nil {
		return "", nil, errors.Join(err, fmt.Errorf("%s: neither a model of the registry nor a path", what))
	}
	dir, err = filepath.Abs(what)
	return dir, nil, err
}

// verifyExport checks a folder against its receipt: the registry's copy when
// there is one, so that a changed receipt proves nothing.
func (a *app) verifyExport(ctx context.Context, dir string, v *registry.Revision, o verifyOptions) ([]export.Fault, error) {
	m := a.meter(dir, bytesBelow(dir))
	opts := export.VerifyOptions{Jobs: o.jobs, Progress: func(done, total int64) { m.set(done, total) }}
	if v != nil {
		opts.Receipt = v.Receipt
	}
	res, err := export.Verify(ctx, dir, opts)
	m.stop()
	if err != nil {
		return nil, err
	}
	for _, n := range res.NotChecked {
		a.say("not checked: %s", n)
	}
	a.say("%s: %s, %s read", dir, count(res.Tensors, "tensor"), size(res.Bytes))
	return res.Faults, nil
}

// verifyModel hashes a checkpoint again and compares with what the registry holds.
func (a *app) verifyModel(ctx context.Context, v *registry.Revision, o verifyOptions) ([]export.Fault, error) {
	if !v.Hashed {
		return nil, fmt.Errorf("%s: was ingested without hashes, there is nothing to compare with; wreg ingest %s takes them", v.Ref(), v.Root)
	}
	c, err := ingest.Open(ctx, v.Root, ingest.Options{Jobs: o.jobs})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m := a.meter(v.Ref(), v.Bytes)
	now, err := c.Hash(ctx, ingest.HashOptions{Jobs: o.jobs, NoStats: true, Progress: m.add})
	m.stop()
	if err != nil {
		return nil, err
	}
	var faults []export.Fault
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		there := infos(now)
		seen := 0
		for t, err := range s.Tensors(v) {
			if err != nil {
				return err
			}
			n, ok := there.Lookup(t.Path)
			if !ok {
				faults = append(faults, export.Fault{File: t.File, Tensor: t.Path, Expert: -1, Message: "recorded, and not there any more"})
				continue
			}
			seen++
			faults = append(faults, compareTensors(t, n)...)
		}
		if seen < len(now) {
			for _, n := range now {
				if _, ok, err := s.Lookup(v, n.Path); err != nil {
					return err
				} else if !ok {
					faults = append(faults, export.Fault{File: n.File, Tensor: n.Path, Expert: -1, Message: "there, and not recorded"})
				}
			}
		}
		return nil
	})
	a.say("%s: %s, %s read", v.Ref(), count(len(now), "tensor"), size(v.Bytes))
	return faults, err
}

// compareTensors says how a tensor differs from its record, slice by slice where
// slices are recorded.
func compareTensors(was, is tensor.Info) []export.Fault {
	fault := func(expert int, format string, args ...any) export.Fault {
		return export.Fault{File: is.File, Tensor: is.Path, Expert: expert, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case was.DType != is.DType || !was.Shape.Equal(is.Shape):
		return []export.Fault{fault(-1, "is %v %v, recorded as %v %v", is.DType, is.Shape, was.DType, was.Shape)}
	case was.Sum == is.Sum && (was.Hash.IsZero() || was.Hash == is.Hash):
		return nil
	}
	var faults []export.Fault
	if len(was.Slices) == len(is.Slices) {
		for i := range was.Slices {
			if was.Slices[i] != is.Slices[i] {
				faults = append(faults, fault(i, "expert %d: bytes differ from what was recorded", i))
			}
		}
	}
	if faults == nil {
		faults = []export.Fault{fault(-1, "bytes differ from what was recorded: %v, was %v", is.Hash, was.Hash)}
	}
	return faults
}

func (a *app) verifyInRuntime(ctx context.Context, dir string, trust bool) ([]export.Fault, error) {
	if trust {
		a.say("--trust-remote-code: code in %s may run, with your rights", dir)
	}
	res, err := verifyRuntime(ctx, dir, trust)
	if err != nil {
		return nil, err
	}
	consumer := fmt.Sprintf("mlx_lm %s (mlx %s)", res.MLXLM, res.MLX)
	switch {
	case res.Error != "":
		return []export.Fault{{File: dir, Expert: -1, Message: consumer + " refuses it: " + res.Error}}, nil
	case !res.Finite:
		return []export.Fault{{File: dir, Expert: -1, Message: consumer + " loads it, but its logits are not finite"}}, nil
	}
	a.say("%s loads it strictly; one forward pass gives logits %v", consumer, res.Logits)
	return nil, nil
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
