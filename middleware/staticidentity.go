package middleware

import (
	"archive/zip"
	"io/fs"
	"time"
)

// identity tells the versions of a file apart, also if they have the same modification time
// and size. Fields that a file system does not know are zero.
type identity struct {
	size     int64
	modified int64 // nanoseconds of Unix time
	created  int64 // on Windows
	changed  int64 // nanoseconds of Unix time of the last change of content or metadata
	device   uint64
	inode    uint64
	checksum uint32 // of the content
}

// identityOf returns the identity of a file. isArchive reports whether its time is that of
// an archive, which builds often fix.
func identityOf(info fs.FileInfo) (id identity, isArchive bool) {
	id = identity{size: info.Size(), modified: info.ModTime().UnixNano()}
	switch sys := info.Sys().(type) {
	case *zip.FileHeader:
		id.checksum = sys.CRC32
		return id, true
	default:
		id.addSystem(sys)
	}
	return id, false
}

// isSettled reports whether each change of the file after now makes another identity. A
// change soon after the last one may have the same time.
func (id identity) isSettled(now time.Time) bool {
	if id.changed == 0 {
		return true
	}
	age := now.UnixNano() - id.changed
	return age >= int64(settling) || age <= -int64(settling) // the clock of another machine
}
