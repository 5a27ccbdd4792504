package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"wreg/export/disk"
	"wreg/ingest/regular"
)

// strangers refuses to land what an export did not write: a consumer loads every
// shard it finds in a folder.
func (b *berth) strangers(wrote []string) error {
	entries, err := b.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); !e.Type().IsRegular() || !slices.Contains(wrote, name) && name != journalName && !isPartJournal(name) {
			return fmt.Errorf("%s holds %q, which is not of this export; remove it, and --resume or --finish", b.path, name)
		}
	}
	return nil
}

// land removes the journals and gives the folder its final name.
func (b *berth) land(out string, sync bool) error {
	journals, err := b.journals()
	if err != nil {
		return err
	}
	for _, name := range journals {
		if err := b.root.Remove(name); err != nil {
			return err
		}
	}
	if sync {
		if err := disk.SyncFolder(b.path); err != nil {
			return err
		}
	}
	if err := disk.Move(b.path, out); err != nil {
		return err
	}
	b.path = ""
	if sync {
		return disk.SyncFolder(filepath.Dir(out))
	}
	return nil
}

// received adds what the receipt in a berth says was written. A kill while landing
// may have left it alone there, with some or all of the journals gone: without it,
// the work of all shares would be lost in the last millisecond.
func (s *stream) received(b *berth, written claims) error {
	data, err := regular.ReadIn(b.root, receiptFile, maxReceipt)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !sealed(data) { // cut short: the journals are still there
		return nil
	}
	if err != nil {
		return err
	}
	var r Receipt
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s in %s: %w; remove it", receiptFile, b.path, err)
	}
	if r.Plan != s.fingerprint || len(r.Tensors) != len(s.plan.Tensors) {
		return anotherPlan(b)
	}
	for unit, u := range s.units {
		for part := range u.parts {
			var made []digest
			for _, t := range r.Tensors[u.first : u.first+u.n] {
				sum, hash := t.XXH3, t.SHA256
				if len(u.parts) > 1 {
					if len(t.Parts) != len(u.parts) {
						return anotherPlan(b)
					}
					sum, hash = t.Parts[part].XXH3, t.Parts[part].SHA256
				}
				d, err := parseWritten(sum, hash)
				if err != nil {
					return fmt.Errorf("%s in %s: tensor %q: %w; remove it", receiptFile, b.path, t.Path, err)
				}
				made = append(made, d)
			}
			at := job{unit, part}
			written[at] = append(written[at], made)
		}
	}
	return nil
}
