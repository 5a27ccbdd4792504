package place

import "os"

// OnDisk is a Blob that is a file on this disk, with which more can be done. Who asks for the file takes it over.
type OnDisk interface{ Disk() *os.File }
