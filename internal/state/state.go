// Package state keeps what was applied: the record that get, describe and completion read, that pruning starts from, that
// tells "created" from "configured" where the kernel cannot, and that spares apply the dump of the kernel's maps; and the
// records before it, to go back to.
//
// There is one record per network namespace and table, in a directory of its own below the state directory, with the
// history, the large parts of all records, and a lock beside it. The kernel stays the truth about what is in force: a record
// that is missing, damaged or somebody else's is an error that its callers may survive.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/internal/safefile"
)

// Record is what one apply put into the kernel.
type Record struct {
	// Serial counts the records of a store from 1. [Store.Save] gives it.
	Serial uint64 `json:"serial"`
	// RolledBackTo is the serial number of the record that a rollback went back to; 0: this is no rollback.
	RolledBackTo uint64 `json:"rolledBackTo,omitempty"`
	// Namespace identifies the network namespace, as [Identify] gives it.
	Namespace string `json:"namespace"`
	// Generation is the namespace's nftables generation after the commit.
	Generation uint32    `json:"generation"`
	Time       time.Time `json:"time"`
	UID        int       `json:"uid"`
	SudoUser   string    `json:"sudoUser,omitempty"` // who became root by sudo
	Files      []string  `json:"files"`              // the arguments of -f
	// Config is a digest of the configuration that shaped the ruleset.
	Config string `json:"config"`
	// Build is the build of svcctl that made the ruleset of the manifests, "" for not known.
	Build string `json:"build,omitempty"`
	// Clean says that there was nothing to say about the manifests, neither a warning nor a document that was passed over.
	Clean bool `json:"clean,omitempty"`
	// Services has a digest of each applied Service with its endpoints, by "namespace/name".
	Services map[string]string `json:"-"`
	// Allocations has what was allocated to Services that do not say it themselves: the next apply leaves it to them.
	Allocations allocate.Held `json:"allocations,omitempty"`
	// Sources are the manifests, for [Store.Manifests].
	Sources []SourceRef `json:"sources"`
	// Ruleset names what was committed, for [Store.Applied].
	Ruleset string `json:"ruleset"`
	// Documents names the documents of the manifests, for [Store.Documents]; "" where they are not recorded.
	Documents string `json:"documents,omitempty"`

	sum string // of the file it was loaded from
}

// SourceRef is a manifest of a record: what [manifest.Source] says, and its content by name.
type SourceRef struct {
	Name      string `json:"name"`
	FirstLine int32  `json:"firstLine,omitempty"`
	SHA256    string `json:"sha256"`
}

// Store is where the record of one table in one network namespace is kept.
type Store struct{ root, namespace, table string }

// The files of a store.
const (
	recordFile  = "applied"
	historyDir  = "history"
	blobDir     = "blobs"
	pendingFile = "unconfirmed"
	lockFile    = "lock"
	logFile     = "watchdog.log"
	draftSuffix = ".new" // of a file being written; one name is enough, since only the lock's holder writes
)

// NewStore gives the store of a table in a network namespace below a state directory. The namespace is a name as
// ip-netns(8) knows it, a path, or empty for the caller's own. Nothing is read or made yet.
func NewStore(root, netns, table string) *Store {
	return &Store{root: root, namespace: namespaceKey(netns), table: table}
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return filepath.Join(s.root, s.namespace, s.table) }

// namespaceKey makes a file name of a namespace. It depends on the words only, so that the record of a namespace is still
// found after a reboot.
func namespaceKey(netns string) string {
	if netns == "" {
		return "own"
	}
	prefix, rest := "path-", netns
	if name, ok := NamespaceName(netns); ok {
		prefix, rest = "name-", name
	}
	key := prefix + url.PathEscape(rest)
	if len(key) > 200 { // a file name has at most 255 bytes (NAME_MAX in include/uapi/linux/limits.h)
		sum := sha256.Sum256([]byte(rest))
		key = prefix + "sha256-" + hex.EncodeToString(sum[:])
	}
	return key
}

// NamespaceName gives the name under which ip-netns(8) knows a namespace that is given by name or by path, and whether
// there is one.
func NamespaceName(netns string) (string, bool) {
	if !strings.Contains(netns, "/") {
		return netns, netns != ""
	}
	switch dir, name := filepath.Split(filepath.Clean(netns)); dir {
	case "/run/netns/", "/var/run/netns/":
		return name, true
	default:
		return "", false
	}
}

// Identify names the network namespace itself, whatever it is called: its inode, and the boot that the inode belongs to.
// Two namespaces that are called the same at different times differ in it.
func Identify(netns string) (string, error) {
	path := "/proc/thread-self/ns/net"
	if name, ok := NamespaceName(netns); ok {
		path = filepath.Join("/run/netns", name)
	} else if netns != "" {
		path = netns
	}
	inode, err := inodeOf(path)
	if err != nil {
		return "", &UnknownError{fmt.Sprintf("the network namespace %q", netns), err}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", &UnknownError{"the id of this boot", err}
	}
	return strings.TrimSpace(string(boot)) + " " + inode, nil
}

// UnknownError says that a network namespace cannot be told from others. It is not the error that a file is missing, as where
// nothing is recorded, even if that is why.
type UnknownError struct {
	What string
	Err  error
}

// Unwrap gives why, unless a file is missing.
func (e *UnknownError) Unwrap() error {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return nil
	}
	return e.Err
}

// Error names what is not known, and /proc where that is missing.
func (e *UnknownError) Error() string {
	hint := ""
	if _, err := os.Stat("/proc/thread-self"); err != nil {
		hint = ", for /proc is not mounted"
	}
	return fmt.Sprintf("%s is not known%s: %v", e.What, hint, e.Err)
}

// ForeignError says that a record is of another network namespace of the same boot.
type ForeignError struct{ Path string }

// Error names the record.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("the record %s is of another network namespace: "+
		"give each its own --state-dir, or use --netns", e.Path)
}

// CheckNamespace reports whether the record is of the network namespace with the identity. A record of an earlier boot
// is: its inode says nothing any more, and what was applied before a reboot is what should be there after it.
func (s *Store) CheckNamespace(r *Record, identity string) error {
	recordedBoot, recordedInode, _ := strings.Cut(r.Namespace, " ")
	boot, inode, _ := strings.Cut(identity, " ")
	if recordedBoot == boot && recordedInode != inode {
		return &ForeignError{Path: s.recordPath()}
	}
	return nil
}

// Remove removes the record of what is applied. The history stays. That there is none is no error.
func (s *Store) Remove() error {
	if err := s.in(func(d *safefile.Dir) error { return d.Remove(recordFile) }); err != nil {
		return fmt.Errorf("removing the record of what was applied: %w", err)
	}
	return nil
}
