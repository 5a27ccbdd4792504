package strided

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// TestArrange compares what a view gives in another order with its elements in its own,
// picked one by one; orders that permute, cut, repeat, split and join its dimensions.
func TestArrange(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	arranged := 0
	for range 3000 {
		v := &View{DType: tensor.U16, Offset: rng.Int64N(5)}
		numel := int64(1)
		for range 1 + rng.IntN(4) {
			d := 1 + rng.Int64N(6)
			v.Shape, v.Stride = append(v.Shape, d), append(v.Stride, rng.Int64N(9))
			numel *= d
		}
		v.Storage = &Storage{Key: "0", Bytes: 1 << 12}
		stored := make([]byte, v.Storage.Bytes)
		for i := range stored {
			stored[i] = byte(rng.Uint32())
		}
		own := gatherSlowly(v, stored)
		base, n, step := order(rng, v.Shape)
		w, ok := v.arrange(base, n, step)
		if !ok {
			continue
		}
		arranged++
		var want []byte
		var walk func(k int, at int64)
		walk = func(k int, at int64) {
			if k == len(n) {
				want = append(want, own[2*at:2*at+2]...)
				return
			}
			for i := range n[k] {
				walk(k+1, at+i*step[k])
			}
		}
		walk(0, base)
		got, err := io.ReadAll(io.NewSectionReader(Gather(w, bytes.NewReader(stored), 0, nil), 0, int64(len(want))))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v %v from %d, %v steps %v: other bytes, %v", v.Shape, v.Stride, base, n, step, err)
		}
	}
	if arranged < 1500 {
		t.Errorf("only %d of 3000 orders were arranged", arranged)
	}
}

// order is an order of the elements of a shape, which is first split where it can be.
func order(rng *rand.Rand, shape tensor.Shape) (base int64, n, step []int64) {
	for i, k := len(shape)-1, int64(1); i >= 0; i-- {
		d := shape[i]
		if d%2 == 0 && rng.IntN(2) == 0 {
			n, step = append(n, 2), append(step, k)
			n, step = append(n, d/2), append(step, 2*k)
		} else {
			n, step = append(n, d), append(step, k)
		}
		k *= d
	}
	for i := range n { // cut
		if first := rng.Int64N(n[i]); rng.IntN(3) == 0 {
			base += first * step[i]
			n[i] -= first
			by := 1 + rng.Int64N(2)
			n[i], step[i] = (n[i]+by-1)/by, step[i]*by
		}
	}
	for i := len(n) - 2; i >= 0; i-- { // join
		if step[i]*n[i] == step[i+1] && rng.IntN(2) == 0 {
			n[i] *= n[i+1]
			n, step = append(n[:i+1], n[i+2:]...), append(step[:i+1], step[i+2:]...)
		}
	}
	if rng.IntN(4) == 0 { // repeat
		n, step = append(n, 3), append(step, 0)
	}
	rng.Shuffle(len(n), func(i, j int) { n[i], n[j], step[i], step[j] = n[j], n[i], step[j], step[i] })
	return base, n, step
}

// Elements that are neither read in order nor arranged are gathered again, so often
// and no more.
func TestAgain(t *testing.T) {
	v := &View{Storage: &Storage{Key: "0"}, DType: tensor.U8, Shape: tensor.Shape{3 << 10, 4 << 10}, Stride: []int64{1, 3 << 10}}
	again, all := &zipfile.Again{}, &zipfile.Again{}
	again.Within(all)
	r := Gather(v, bytes.NewReader(make([]byte, v.Size())), 0, again)
	for range 2 { // in order, and once more
		if _, err := io.ReadAll(io.NewSectionReader(r, 0, v.Size())); err != nil {
			t.Fatal(err)
		}
	}
	if err := all.Spend(zipfile.MaxAgain - 3*v.Size()); err != nil {
		t.Fatal(err)
	}
	times := 0
	for ; times < 100; times++ {
		_, err := r.ReadAt(make([]byte, 1), int64(times%2)*v.Size()/2)
		if err != nil {
			if !strings.Contains(err.Error(), "save them in order") {
				t.Error(err)
			}
			break
		}
	}
	if times == 0 || times > 9 {
		t.Errorf("refused at jump %d", times)
	}
}
