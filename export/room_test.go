package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export/disk"
	"wreg/export/staging"
)

// What a part or a killed export has reserved is not asked for again: of an output that
// fills the disk, the second part needs no room.
func TestRoomThatIsTheExportsAlready(t *testing.T) {
	const size = 1 << 20
	out := filepath.Join(t.TempDir(), "out")
	free := func(string) (int64, bool) { return size / 2, true }
	if err := room(out, size, free); err == nil {
		t.Error("half of the room is enough")
	} else if !strings.Contains(err.Error(), "has 512 KiB free, the export needs 1 MiB") {
		t.Error(err)
	}
	partial := staging.PathOf(out)
	if err := os.Mkdir(partial, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(partial, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(8 * size); err != nil {
		t.Fatal(err)
	}
	if err := room(out, size, free); err == nil {
		t.Error("a file with nothing in it holds room")
	}
	if _, err := f.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil { // some disks choose blocks late
		t.Fatal(err)
	}
	if held := disk.Held(partial); held < size || held > 2*size {
		t.Errorf("%d bytes are held by a file of %d", held, size)
	}
	if err := room(out, size, free); err != nil {
		t.Error(err)
	}
	if err := room(out, 4*size, free); err == nil {
		t.Error("what is held is enough for anything")
	}
}
