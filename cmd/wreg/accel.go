package main

import (
	"github.com/spf13/cobra"

	"wreg/accel"
)

func accelCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "accel",
		Short: "the devices that compute: check their bytes, measure them",
		Example: `  wreg accel check
  wreg accel bench`,
	}
	c.AddCommand(accelCheck(a, false), accelCheck(a, true))
	return c
}

// accelCheck is check, and bench, which says the rates too.
func accelCheck(a *app, rates bool) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "compare every operation of every device with the plain Go reference",
		Long: `Runs every operation on every device there is and compares its bytes with those
of the plain Go reference. WREG_NOASM=1 leaves out assembly.`,
		Example: `  wreg accel check
  wreg accel check --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lines, ok, noMetal := accel.Check()
			rep := &report{columns: []string{"operation", "device", "kernels", "result", "message"}}
			if rates {
				rep.columns = append(rep.columns, "gb_per_s", "of_copy")
			}
			for _, l := range lines {
				row := []any{l.Operation, l.Device, l.Kernels, "pass", l.Fault}
				if l.Fault != "" {
					row[3] = "fail"
				}
				if rates {
					row = append(row, round(l.Rate), round(l.OfCopy))
				}
				rep.rows = append(rep.rows, row)
			}
			if noMetal != "" {
				a.say("no Metal: %s", noMetal)
			}
			if err := a.print(rep); err != nil {
				return err
			}
			if !ok {
				return errFindings
			}
			return nil
		},
	}
	if rates {
		c.Use, c.Short = "bench", "measure every operation of every device"
		c.Long = "Does what check does and measures: GB/s read and written by one core, and that as a part of what copying as many bytes takes."
		c.Example = "  wreg accel bench"
	}
	return describe(c, "0 every byte is the reference's, 1 a device is wrong, 2 trouble")
}

// round keeps two decimals.
func round(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }
