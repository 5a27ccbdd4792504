package cpu

import "fmt"

// permuteEdge is the edge, in elements, of the square that is transposed at once.
// It is gathered into a buffer first: rows of a weight are often a power of two
// apart, and lines that far apart push each other out of the cache.
const permuteEdge = 64

// Permute2 transposes n matrices of rows x cols elements of size bytes.
func (d Device) Permute2(dst, src []byte, n, rows, cols, size int) error {
	one, err := product(rows, cols)
	all := 0
	if err == nil {
		all, err = product(n, one)
	}
	if err == nil && size <= 0 {
		err = fmt.Errorf("elements of %d bytes", size)
	}
	if err == nil {
		err = first(need("src", src, all, size), need("dst", dst, all, size), apart("dst", dst, "src", src))
	}
	if err != nil {
		return fmt.Errorf("permute %d matrices of %d x %d: %w", n, rows, cols, err)
	}
	transpose := transposeAny
	switch size {
	case 1:
		transpose = transpose1
	case 2:
		transpose = transpose2
	case 4:
		transpose = transpose4
	case 8:
		transpose = transpose8
	}
	for range n {
		for r := 0; r < rows; r += permuteEdge {
			for c := 0; c < cols; c += permuteEdge {
				t := tile{r: r, c: c, h: min(permuteEdge, rows-r), w: min(permuteEdge, cols-c), rows: rows, cols: cols, size: size}
				transpose(dst, src, t)
			}
		}
		dst, src = dst[one*size:], src[one*size:]
	}
	return nil
}

// tile is the part of a matrix from row r, column c on, h high and w wide.
type tile struct{ r, c, h, w, rows, cols, size int }

// gather copies the tile's rows to buf, permuteEdge elements apart.
func (t tile) gather(buf, src []byte) {
	for i := range t.h {
		copy(buf[i*permuteEdge*t.size:][:t.w*t.size], src[((t.r+i)*t.cols+t.c)*t.size:])
	}
}

// line is where the tile's column j goes.
func (t tile) line(dst []byte, j int) []byte {
	return dst[((t.c+j)*t.rows+t.r)*t.size:][:t.h*t.size]
}

func transpose1(dst, src []byte, t tile) {
	var buf [permuteEdge * permuteEdge]byte
	t.gather(buf[:], src)
	for j := range t.w {
		line := t.line(dst, j)
		for i := range line {
			line[i] = buf[(i*permuteEdge+j)&(len(buf)-1)]
		}
	}
}

// transpose2 takes four by four elements through four registers.
func transpose2(dst, src []byte, t tile) {
	const row = 2 * permuteEdge
	var buf [row * permuteEdge]byte
	t.gather(buf[:], src)
	for j := 0; j < t.w; j += 4 {
		var lines [4][]byte
		for k := range min(4, t.w-j) {
			lines[k] = t.line(dst, j+k)
		}
		i := 0
		for ; i+4 <= t.h && j+4 <= t.w; i += 4 {
			at := buf[i*row+2*j:][:3*row+8]
			a, b, c, d := le.Uint64(at), le.Uint64(at[row:]), le.Uint64(at[2*row:]), le.Uint64(at[3*row:])
			const even, low = 0x0000FFFF_0000FFFF, 0x00000000_FFFFFFFF
			a, b = a&even|b&even<<16, a>>16&even|b&^even
			c, d = c&even|d&even<<16, c>>16&even|d&^even
			le.PutUint64(lines[0][2*i:], a&low|c<<32)
			le.PutUint64(lines[1][2*i:], b&low|d<<32)
			le.PutUint64(lines[2][2*i:], a>>32|c&^low)
			le.PutUint64(lines[3][2*i:], b>>32|d&^low)
		}
		for ; i < t.h; i++ {
			for k := range min(4, t.w-j) {
				le.PutUint16(lines[k][2*i:], le.Uint16(buf[i*row+2*(j+k):]))
			}
		}
	}
}

func transpose4(dst, src []byte, t tile) {
	var buf [4 * permuteEdge * permuteEdge]byte
	t.gather(buf[:], src)
	for j := range t.w {
		line, column := t.line(dst, j), buf[4*j:]
		for ; len(line) >= 4 && len(column) >= 4; line = line[4:] {
			le.PutUint32(line, le.Uint32(column))
			column = column[min(4*permuteEdge, len(column)):]
		}
	}
}

func transpose8(dst, src []byte, t tile) {
	var buf [8 * permuteEdge * permuteEdge]byte
	t.gather(buf[:], src)
	for j := range t.w {
		line, column := t.line(dst, j), buf[8*j:]
		for ; len(line) >= 8 && len(column) >= 8; line = line[8:] {
			le.PutUint64(line, le.Uint64(column))
			column = column[min(8*permuteEdge, len(column)):]
		}
	}
}

func transposeAny(dst, src []byte, t tile) {
	for j := range t.w {
		line := t.line(dst, j)
		for i := range t.h {
			copy(line[i*t.size:][:t.size], src[((t.r+i)*t.cols+t.c+j)*t.size:])
		}
	}
}
