package view

import "fmt"

// Size is a number of bytes as people read it: 1.2 GiB.
func Size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if f /= 1 << 10; f < 1000 {
			break
		}
	}
	return fmt.Sprintf("%.3g %s", f, unit)
}
