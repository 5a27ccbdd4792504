package cpu

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"wreg/registry/tensor"
)

// Rate gives the bytes read and written per second, in GB/s: the best of eight
// calls of run, which does the whole trial.
func (t Trial) Rate(run func() error) (float64, error) {
	best := math.Inf(1)
	for range 8 {
		start := time.Now()
		if err := run(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start).Seconds())
	}
	return t.moved() / best / 1e9, nil
}

// How long AgainstCopy goes on: so many rounds at most, and not past benchTime when
// there were enough to have a middle.
const (
	maxRounds = 101
	minRounds = 9
	benchTime = 400 * time.Millisecond
)

// AgainstCopy measures run, which does the whole trial, against Go's copy of as many
// bytes: half of those that the trial reads and writes are read, half written. The two
// take turns. rate is the best round's, in GB/s read and written. ofCopy is the middle
// one of the rounds' ratios: what else the machine does slows both of a round, or
// spoils a few rounds, and the best of each alone would compare two moments. Time is
// that in which the core was ours, where the system tells it.
func (t Trial) AgainstCopy(run func() error) (rate, ofCopy float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	src, dst := make([]byte, int(t.moved())/2), make([]byte, int(t.moved())/2)
	for i := range src { // pages that were never written are all one page
		src[i] = byte(i)
	}
	best := math.Inf(1)
	var ratios []float64
	for start := time.Now(); len(ratios) < minRounds || len(ratios) < maxRounds && time.Since(start) < benchTime; {
		copied, _ := seconds(func() error { copy(dst, src); return nil })
		done, err := seconds(run)
		if err != nil {
			return 0, 0, err
		}
		best = min(best, done)
		ratios = append(ratios, copied/done)
	}
	slices.Sort(ratios)
	return t.moved() / best / 1e9, ratios[len(ratios)/2], nil
}

// moved is the bytes that a trial reads and writes.
func (t Trial) moved() float64 { return float64(len(t.Source) + t.Size) }

// seconds is how long f takes to compute, on the thread that the caller has locked.
func seconds(f func() error) (float64, error) {
	start := clock()
	err := f()
	return (clock() - start).Seconds(), err
}

// Weights gives n numbers as weights are: normal, around 0.02. e4m3 holds them
// divided by a scale: all its codes but the NaN. After weightsPeriod they repeat.
func Weights(dt tensor.DType, n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	some := min(n, weightsPeriod)
	p := make([]byte, 4*some)
	for i := range some {
		le.PutUint32(p[4*i:], math.Float32bits(float32(r.NormFloat64()*.02)))
	}
	q := make([]byte, 0, n*size(dt))
	for i := range some {
		u := le.Uint32(p[4*i:])
		switch v := math.Float32frombits(u); dt {
		case tensor.F64:
			q = le.AppendUint64(q, math.Float64bits(float64(v)))
		case tensor.F32:
			q = le.AppendUint32(q, u)
		case tensor.F8E4M3:
			q = append(q, f32ToE4M3(math.Float32bits(v*1000)))
		case tensor.F8E5M2:
			q = append(q, uint8(f32ToF16(u)>>8))
		default:
			q = le.AppendUint16(q, uint16(bitsOf(dt, v)))
		}
	}
	for len(q) < n*size(dt) {
		q = append(q, q[:min(len(q), n*size(dt)-len(q))]...)
	}
	return q
}

const weightsPeriod = 1 << 20
