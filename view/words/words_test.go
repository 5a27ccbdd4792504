package words_test

import (
	"strings"
	"testing"

	"wreg/view/words"
)

// What is of no use to anyone is not printed, wherever it comes from: a config.json's
// strings, a server's error, an index.
func TestBounded(t *testing.T) {
	long := "begin" + strings.Repeat("é", 100_000) + "end"
	for name, f := range map[string]func(string) string{"Line": words.Line, "Inert": words.Inert} {
		got := f(long)
		if n := len(got); n > 20_000 || !strings.HasPrefix(got, "beginéé") || !strings.HasSuffix(got, "éend") || !strings.Contains(got, " bytes left out)…") || strings.Contains(got, `\x`) {
			t.Errorf("%s: %d bytes: %.40s", name, n, got)
		}
	}
	if name := strings.Repeat("n", 8192); words.Inert(name) != name {
		t.Error("a name is cut where it is data")
	}
	for part, want := range map[float64]string{0: "0 %", 1: "100 %", 0.00001: "<0.01 %", 0.9999: ">99.9 %", 0.116: "11.6 %", 0.0016: "0.16 %"} {
		if got := words.Percent(part); got != want {
			t.Errorf("%v: %s, want %s", part, got, want)
		}
	}
	for part, want := range map[float64]string{0: "0 %", 1: "100 %", 0.001: "<1 %", 0.999: ">99 %", 0.116: "12 %"} {
		if got := words.Rounded(part); got != want {
			t.Errorf("%v: %s, want %s", part, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 58450: "58,450", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := words.Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{7: "7", 1500: "1.5 K", 120_586_240: "120.6 M", 7_241_732_096: "7.242 B", 999_950: "1 M", 80_400_000_000: "80.4 B"} {
		if got := words.Params(n); got != want {
			t.Errorf("Params(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1023<<10 + 511: "1 MiB", 999<<10 + 511: "999 KiB", 999<<10 + 512: "0.976 MiB", 123456789: "118 MiB",
		999<<20 + 700<<10: "0.976 GiB", 1 << 40: "1 TiB", 1<<63 - 1: "8 EiB"} {
		if got := words.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}
