package staging

import (
	"fmt"
	"path/filepath"
	"slices"

	"wreg/export/disk"
	regdisk "wreg/registry/disk"
)

// Strangers refuses to land what an export did not write: a consumer loads every
// shard it finds in a folder.
func (b *Folder) Strangers(wrote []string) error {
	entries, err := b.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); !e.Type().IsRegular() || !slices.Contains(wrote, name) && name != journalName && !isPartJournal(name) && !isSpool(name) {
			return fmt.Errorf("%s holds %q, which is not part of this export; remove it, then --resume or --finish", b.Path, name)
		}
	}
	return nil
}

// Land removes the journals and what was kept of the source, and gives the folder its final name.
func (b *Folder) Land(out string, sync bool) error {
	entries, err := b.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name == journalName || isPartJournal(name) || isSpool(name) {
			if err := b.Root.Remove(name); err != nil {
				return err
			}
		}
	}
	if sync {
		if err := regdisk.SyncDir(b.Path); err != nil {
			return err
		}
	}
	if err := b.Root.Close(); err != nil { // Windows renames no folder that is held
		return err
	}
	if err := disk.Move(b.Path, out); err != nil {
		return err
	}
	b.Path = ""
	if sync {
		return regdisk.SyncDir(filepath.Dir(out))
	}
	return nil
}
