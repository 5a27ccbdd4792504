//go:build !linux

package disk

// Pipe passes nothing here: bytes are read and written.
type Pipe struct{}

func NewPipe() *Pipe { return nil }

func (*Pipe) Fill(int, int64, int64) int64  { return 0 }
func (*Pipe) Drain(int, int64, int64) int64 { return 0 }
func (*Pipe) Close()                        {}
