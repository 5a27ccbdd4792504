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
	c.AddCommand(accelCheck(a), accelBench(a))
	return c
}

func accelCheck(a *app) *cobra.Command {
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
			for _, l := range lines {
				result := "pass"
				if l.Fault != "" {
					result = "fail"
				}
				rep.rows = append(rep.rows, []any{l.Operation, l.Device, l.Kernels, result, l.Fault})
			}
			if noMetal != "" {
				a.say("no Metal: %s", noMetal)
			}
			return a.conclude(rep, !ok, "", "")
		},
	}
	return describe(c, "0 every byte is the reference's, 1 a device is wrong, 2 trouble")
}

func accelBench(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "measure every operation of every device against copying as many bytes",
		Long: `Measures every operation on numbers as weights are, in calls of two sizes: bytes
read and written by one call, first as many as export works on at a time, then more
than caches hold. gb_per_s is those per second, by one core; gb_read_per_s the bytes
of source alone. of_copy is gb_per_s as a part of what Go's copy reaches in turns with
it, when it reads and writes as many bytes. goal is what the fastest kernels are to
reach; result says whether they did.`,
		Example: "  wreg accel bench",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lines, err := accel.Bench()
			if err != nil {
				return err
			}
			return a.print(benchReport(lines))
		},
	}
	return describe(c, "0 measured, 2 trouble")
}

func benchReport(lines []accel.BenchLine) *report {
	rep := &report{columns: []string{"operation", "device", "kernels", "bytes", "gb_read_per_s", "gb_per_s", "of_copy", "goal", "result"}}
	for _, l := range lines {
		result := ""
		switch {
		case l.Met:
			result = "met"
		case l.Goal != "":
			result = "not met"
		}
		rep.rows = append(rep.rows, []any{l.Operation, l.Device, l.Kernels, l.Bytes, round(l.Read), round(l.Rate), round(l.OfCopy), l.Goal, result})
	}
	return rep
}

// round keeps two decimals.
func round(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }
