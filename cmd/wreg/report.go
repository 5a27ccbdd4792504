package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/disk"
	page "wreg/web/report"
)

// reportOptions are the flags of wreg report.
type reportOptions struct {
	out, against, arch, checks string
	force, noDate, values      bool
}

func reportCommand(a *app) *cobra.Command {
	var o reportOptions
	c := &cobra.Command{
		Use:   "report MODEL",
		Short: "write a model as one HTML page, to attach or keep",
		Long: `Writes one HTML file about a model: whether it is whole, where it comes from, a map
of its layers and components, gaps with reasons and remedies, values, every tensor,
findings, saved checks and the receipt of an export, with the commands that give
each. It opens without a network and loads nothing; it prints. With --against it
says how the model differs from another, which the exit status is not about, and
with --values by how much: of a quantized model, the error of each module.`,
		Example: `  wreg report hunyuan -o hunyuan.html
  wreg report tuned --against base -o tuned.html
  wreg report hunyuan-4bit --against hunyuan --values -o error.html
  wreg report hunyuan --checks docs/checks/moe.checks -o - > report.html`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.out == "" {
				return fmt.Errorf("where to? for example: wreg report %s -o report.html", shellLine(args))
			}
			if format := a.dataFormat(); o.out == "-" && format != "" {
				return fmt.Errorf("-o - writes the page to stdout, and %s would be written there, too; give a FILE", format)
			}
			if err := o.free(); err != nil {
				return err
			}
			if o.values && o.against == "" {
				return fmt.Errorf("--values says by how much two models differ; add --against MODEL")
			}
			opts := page.Options{Tool: tool}
			if !o.noDate {
				opts.Generated = time.Now()
			}
			var err error
			if opts.Arch, err = readArch(o.arch); err != nil {
				return err
			}
			var checks []*savedCheck
			if o.checks != "" {
				if checks, err = readChecks(o.checks); err != nil {
					return err
				}
			}
			if o.against != "" {
				if opts.Against, err = a.compare(c.Context(), &diffOptions{a: o.against, b: args[0], arch: o.arch, values: o.values}); err != nil {
					return err
				}
			}
			var d *page.Data
			err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				v, err := s.Find(args[0])
				if err != nil {
					return err
				}
				for _, check := range checks {
					went := check.run(c.Context(), s, v.Ref())
					opts.Checks = append(opts.Checks, page.Check{Name: check.name, Result: went.result, Expected: check.expect.text, Message: went.message})
				}
				d, err = page.Gather(c.Context(), s, v, opts)
				return err
			})
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := d.Write(&b); err != nil {
				return err
			}
			if err := o.write(a, b.Bytes()); err != nil {
				return err
			}
			if o.out != "-" {
				a.say("%s: %s, %s", o.out, size(int64(b.Len())), d.Summary())
				v := d.Model.Verdict
				err := a.done(object{{"model", d.Model.Ref}, {"file", o.out}, {"bytes", int64(b.Len())}, {"state", v.State}, {"gaps", v.Gaps},
					{"findings", v.Findings}, {"checks_not_passed", d.Failed()}})
				if err != nil {
					return err
				}
			}
			if !d.Whole() {
				return errFindings
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "output", "o", "", "`FILE` to write, - for stdout")
	f.StringVar(&o.against, "against", "", "another `MODEL`: say how this one differs from it")
	f.BoolVar(&o.values, "values", false, "with --against: read both checkpoints and say by how much")
	f.StringVar(&o.checks, "checks", "", "run the saved checks of `FILE`, as wreg test does, and show how they went")
	f.StringVar(&o.arch, "arch", "", "architecture `FILE` instead of the one for model_type")
	f.BoolVar(&o.force, "force", false, "write over a page that wreg report wrote")
	f.BoolVar(&o.noDate, "no-date", false, "leave out when it was written, so that equal registries give equal files")
	must(c.RegisterFlagCompletionFunc("against", a.completeModels))
	return describe(c, "0 the model is whole and every check passed, 1 gaps, findings, failed checks or no architecture to ask, 2 trouble")
}

// free refuses a file that is there, before anything is computed; with --force, only what
// wreg report did not write.
func (o *reportOptions) free() error {
	if o.out == "-" {
		return nil
	}
	there, err := ours(o.out, "page that wreg report wrote", page.Wrote)
	switch {
	case err != nil && there && !o.force: // --force would not help
		return fmt.Errorf("%s is there already; give another FILE", o.out)
	case err != nil && there:
		return fmt.Errorf("%w; --force writes over those only; give another FILE", err)
	case err != nil:
		return fmt.Errorf("%w; give a FILE, or - for stdout", err)
	case there && !o.force:
		return fmt.Errorf("%s is there already; --force writes over it", o.out)
	}
	return nil
}

// write gives the file its name once it is complete.
func (o *reportOptions) write(a *app, text []byte) error {
	if o.out == "-" {
		_, err := a.out.Write(text)
		return err
	}
	fill := func(f *os.File) error {
		_, err := f.Write(text)
		return err
	}
	if o.force {
		return disk.Replace(o.out, fill)
	}
	return disk.Create(o.out, fill)
}
