package ingesttest

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sync/atomic"
)

// Record is a record of an archive to make.
type Record struct {
	Name    string
	Data    []byte
	CRC     []byte // the bytes its CRC is of; nil: Data
	Deflate bool
	Claim   int64 // what is stored is said to inflate to so many bytes
}

// Zip makes an archive. It panics where no test could go on.
func Zip(records ...Record) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, r := range records {
		of, stored, method := r.CRC, r.Data, zip.Store
		if of == nil {
			of = r.Data
		}
		if r.Deflate {
			var packed bytes.Buffer
			f, err := flate.NewWriter(&packed, flate.BestSpeed)
			must(err)
			_, err = f.Write(r.Data)
			must(err)
			must(f.Close())
			stored, method = packed.Bytes(), zip.Deflate
		}
		size := len(r.Data)
		if r.Claim > 0 {
			size, method = int(r.Claim), zip.Deflate
		}
		w, err := z.CreateRaw(&zip.FileHeader{Name: r.Name, Method: method, CRC32: crc32.ChecksumIEEE(of),
			CompressedSize64: uint64(len(stored)), UncompressedSize64: uint64(size)})
		must(err)
		_, err = w.Write(stored)
		must(err)
	}
	must(z.Close())
	return b.Bytes()
}

// View is a tensor in a storage, called by number.
type View struct {
	Path          string
	Class         string // of the storage; "": FloatStorage
	Storage       int
	Numel         int64 // of the storage
	Offset        int64
	Shape, Stride []int64
}

// Torch makes a checkpoint as torch.save does. The storages are called by their place.
func Torch(views []View, storages ...Record) []byte {
	b := []byte("\x80\x02}(")
	text := func(s string) { b = append(binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s))), s...) }
	number := func(n int64) { b = binary.LittleEndian.AppendUint64(append(b, 0x8a, 8), uint64(n)) }
	numbers := func(list []int64) {
		b = append(b, '(')
		for _, n := range list {
			number(n)
		}
		b = append(b, 't')
	}
	for _, v := range views {
		text(v.Path)
		b = append(b, "ctorch._utils\n_rebuild_tensor_v2\n(("...)
		text("storage")
		b = append(b, "ctorch\n"+cmp.Or(v.Class, "FloatStorage")+"\n"...)
		text(fmt.Sprint(v.Storage))
		text("cpu")
		number(v.Numel)
		b = append(b, "tQ"...)
		number(v.Offset)
		numbers(v.Shape)
		numbers(v.Stride)
		b = append(b, "\x89ccollections\nOrderedDict\n)RtR"...)
	}
	records := []Record{{Name: "m/data.pkl", Data: append(b, "u."...)}}
	for i, s := range storages {
		s.Name = fmt.Sprint("m/data/", i)
		records = append(records, s)
	}
	return Zip(records...)
}

// NPY makes an array of numpy's, of any bytes.
func NPY(descr string, fortran bool, shape []int64, data []byte) []byte {
	dims, order := "", "False"
	for _, d := range shape {
		dims += fmt.Sprint(d, ", ")
	}
	if fortran {
		order = "True"
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }\n", descr, order, dims)
	return append(append(binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header))), header...), data...)
}

// Floats are the bytes of 0, 1, 2, …
func Floats(n int) []byte {
	var b []byte
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
	}
	return b
}

// Counted counts the bytes that are read of R.
type Counted struct {
	R io.ReaderAt
	N atomic.Int64
}

func (c *Counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.R.ReadAt(p, off)
	c.N.Add(int64(n))
	return n, err
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
