//go:build darwin && cgo

package metal

// extern void *MTLCreateSystemDefaultDevice(void);
// #cgo LDFLAGS: -framework Metal -framework CoreGraphics
import "C"

import (
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/progrium/darwinkit/macos/foundation"
	mtl "github.com/progrium/darwinkit/macos/metal"
	"github.com/progrium/darwinkit/objc"
)

// What darwinkit v0.5.0 does not survive, and how this file lives with it, is a
// table in docs/accel.md; traps_test.go finds the calls that must not be made.

//go:embed kernels.metal
var source string

// groupThreads is how many threads form a group, where the kernel allows it.
const groupThreads = 256

// ballastBytes keep the stack of the goroutine that calls Objective-C from being
// grown, and so moved, while an argument list points into it.
const ballastBytes = 64 << 10

// systemDevice is nil without a GPU to be had, as over ssh or in CI. darwinkit does
// not bind it.
func systemDevice() unsafe.Pointer { return unsafe.Pointer(C.MTLCreateSystemDefaultDevice()) }

// Open takes the system's default GPU and compiles the kernels.
func Open() (*Device, error) {
	a := &apple{calls: make(chan call)}
	opened := make(chan error)
	go a.serve(opened)
	if err := <-opened; err != nil {
		return nil, fmt.Errorf("metal: %w", err)
	}
	return newDevice(a), nil
}

// apple is the GPU. Only the goroutine of serve touches what is below calls.
type apple struct {
	calls chan call

	device    mtl.DeviceObject
	queue     mtl.CommandQueueObject
	library   mtl.LibraryObject
	pipelines map[string]mtl.ComputePipelineStateObject
	buffers   []buffer
}

// call is a job on its way to serve.
type call struct {
	job  job
	done chan error
}

// buffer is memory that both processors see. It only grows.
type buffer struct {
	object mtl.BufferObject
	size   int
}

func (a *apple) run(j job) error {
	c := call{j, make(chan error)}
	a.calls <- c
	return <-c.done
}

func (a *apple) close() { close(a.calls) }

// serve makes all calls into Metal, on one thread.
func (a *apple) serve(opened chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	withBallast(func() {
		err := pooled(a.setUp)
		opened <- err
		if err == nil {
			for c := range a.calls {
				c.done <- pooled(func() error { return a.launch(c.job) })
			}
		}
		pooled(a.release)
	})
}

// withBallast runs f deep in a stack that is large already.
//
//go:noinline
func withBallast(f func()) {
	var ballast [ballastBytes]byte
	f()
	runtime.KeepAlive(&ballast)
}

// pooled runs f in an autorelease pool. darwinkit panics where it cannot go on; a
// panic must not unwind through the pool.
func pooled(f func() error) (err error) {
	objc.WithAutoreleasePool(func() {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%v", r)
			}
		}()
		err = f()
	})
	return err
}

func (a *apple) setUp() error {
	device := systemDevice()
	if device == nil {
		return errors.New("no GPU: the system has no Metal device for this session")
	}
	a.device = mtl.DeviceObject{Object: objc.ObjectFrom(device)}
	a.queue = a.device.NewCommandQueue()
	if a.queue.IsNil() {
		return errors.New("no command queue")
	}
	options := mtl.NewCompileOptions()
	options.SetFastMathEnabled(false)
	var fault foundation.Error
	a.library = a.device.NewLibraryWithSourceOptionsError(source, options, unsafe.Pointer(&fault))
	if a.library.IsNil() {
		return fmt.Errorf("kernels.metal: %s", text(fault))
	}
	a.pipelines = map[string]mtl.ComputePipelineStateObject{}
	for _, p := range programs {
		function := a.library.NewFunctionWithName(p.name)
		if function.IsNil() {
			return fmt.Errorf("kernels.metal has no kernel %s", p.name)
		}
		pipeline := objc.Call[mtl.ComputePipelineStateObject](a.device, objc.Sel("newComputePipelineStateWithFunction:error:"), function, unsafe.Pointer(&fault))
		function.Release()
		if pipeline.IsNil() {
			return fmt.Errorf("%s: %s", p.name, text(fault))
		}
		a.pipelines[p.name] = pipeline
	}
	return nil
}

// launch copies a job's buffers in, runs it and copies the results out. What could
// make Metal throw, which ends the process, is checked first.
func (a *apple) launch(j job) error {
	pipeline, ok := a.pipelines[j.program.name]
	if !ok || len(j.buffers) != len(j.program.buffers) {
		return fmt.Errorf("%s with %d buffers is no kernel", j.program.name, len(j.buffers))
	}
	if j.params.n == 0 {
		return nil
	}
	for i := range j.buffers {
		if err := a.reserve(i, len(j.data(i))); err != nil {
			return err
		}
	}
	j.copyIn(a.contents)
	commands := a.queue.CommandBuffer()
	if commands.IsNil() {
		return errors.New("no command buffer")
	}
	encoder := commands.ComputeCommandEncoder()
	if encoder.IsNil() {
		return errors.New("no command encoder")
	}
	objc.Call[objc.Void](encoder, objc.Sel("setComputePipelineState:"), pipeline)
	for i := range j.buffers {
		objc.Call[objc.Void](encoder, objc.Sel("setBuffer:offset:atIndex:"), a.buffers[i].object, uint(0), uint(i))
	}
	width := min(groupThreads, uint64(pipeline.MaxTotalThreadsPerThreadgroup()))
	groups := mtl.Size{Width: j.groups(width), Height: 1, Depth: 1}
	encoder.DispatchThreadgroupsThreadsPerThreadgroup(groups, mtl.Size{Width: width, Height: 1, Depth: 1})
	objc.Call[objc.Void](encoder, objc.Sel("endEncoding")) // bound for another type only
	commands.Commit()
	commands.WaitUntilCompleted()
	if status := commands.Status(); status != mtl.CommandBufferStatusCompleted {
		return fmt.Errorf("%s ended with status %d: %s", j.program.name, status, text(commands.Error()))
	}
	j.copyOut(a.contents)
	return nil
}

// reserve makes buffer i hold at least n bytes.
func (a *apple) reserve(i, n int) error {
	for len(a.buffers) <= i {
		a.buffers = append(a.buffers, buffer{})
	}
	b := &a.buffers[i]
	n, enough := room(b.size, n)
	if enough {
		return nil
	}
	if b.size > 0 {
		b.object.Release()
		b.size = 0
	}
	b.object = a.device.NewBufferWithLengthOptions(uint(n), mtl.ResourceStorageModeShared)
	if b.object.IsNil() {
		return fmt.Errorf("no GPU memory for %d bytes", n)
	}
	b.size = n
	return nil
}

// contents are the first n bytes of buffer i.
func (a *apple) contents(i, n int) []byte {
	return unsafe.Slice((*byte)(a.buffers[i].object.Contents()), n)
}

// release gives back, once each, what new… and Create… handed out.
func (a *apple) release() error {
	for _, b := range a.buffers {
		if b.size > 0 {
			b.object.Release()
		}
	}
	for _, p := range a.pipelines {
		p.Release()
	}
	for _, o := range []objc.Object{a.library.Object, a.queue.Object, a.device.Object} {
		if !o.IsNil() {
			o.Release()
		}
	}
	return nil
}

// text is what Metal says of an error.
func text(e foundation.Error) string {
	if e.IsNil() {
		return "no reason given"
	}
	return e.LocalizedDescription()
}
