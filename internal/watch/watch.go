// Package watch tells when files that were read may say something else now.
//
// It takes paths, those that -f names or that of a record, and gives a signal whenever something happened to what is
// behind them: a file was written or replaced, came or went. It does not say what, and may signal for nothing: whoever
// hears it reads again and compares. Directories are watched rather than files, because a file is mostly replaced by
// another one of its name: by editors, by package managers, by the kubelet. What inotify(7) does not see, such as changes
// that another host makes on a network file system, is not seen here either.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Of a burst of changes one signal is made: when it has been quiet for a while, and in a burst that does not end, now and
// then.
const (
	quiet  = 100 * time.Millisecond
	atMost = time.Second
)

// Watcher watches paths.
type Watcher struct {
	paths     []string // absolute
	recursive bool
	log       *slog.Logger
	notify    *fsnotify.Watcher
	interests map[string]*interest // by directory
	changes   chan struct{}
}

// New watches paths from now on: what changes after it returns is signalled. A path need not exist. recursive is about the
// subdirectories of those that are directories.
func New(paths []string, recursive bool, log *slog.Logger) (*Watcher, error) {
	w := &Watcher{recursive: recursive, log: log, changes: make(chan struct{}, 1)}
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("watching %s: %w", p, err)
		}
		w.paths = append(w.paths, abs)
	}
	if err := w.refresh(); err != nil {
		return nil, err
	}
	return w, nil
}

// Changes gives the channel of signals.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Run passes signals on until the context ends.
func (w *Watcher) Run(ctx context.Context) error {
	var settled, due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return w.notify.Close()
		case event := <-w.notify.Events:
			if !w.matters(event.Name) {
				continue
			}
			settled = time.After(quiet)
			if due == nil {
				due = time.After(atMost)
			}
			continue
		case err := <-w.notify.Errors:
			w.log.Warn("watching files: changes were missed, reading all again", "error", err)
		case <-settled:
		case <-due:
		}
		settled, due = nil, nil
		// There may be other directories now. They are watched before anybody is told to read them.
		if err := w.refresh(); err != nil {
			w.log.Error("some changes will not be noticed", "error", err)
		}
		select {
		case w.changes <- struct{}{}:
		default: // the last one has not been taken yet
		}
	}
}

// matters reports whether an event is about one of the paths.
func (w *Watcher) matters(name string) bool {
	if w.interests[name] != nil { // a directory itself, as when it is removed
		return true
	}
	dir, base := filepath.Split(name)
	in := w.interests[filepath.Clean(dir)]
	return in != nil && (in.everything || slices.Contains(in.names, base))
}

// refresh watches what is behind the paths now. All watches are made anew: one that is there already stays with its
// directory when that is moved away, and says nothing of the one that takes its place.
func (w *Watcher) refresh() error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching files: %w", err)
	}
	interests, err := w.watch(notify)
	if err != nil {
		return errors.Join(err, notify.Close())
	}
	old := w.notify
	w.notify, w.interests = notify, interests
	if old != nil {
		return old.Close()
	}
	return nil
}

// watch adds the directories to watch. A directory that is made after one has looked and before its parent is watched would
// go unnoticed, so one looks again until there is nothing new.
func (w *Watcher) watch(notify *fsnotify.Watcher) (map[string]*interest, error) {
	var last map[string]*interest
	for {
		s := survey{recursive: w.recursive, interests: map[string]*interest{}}
		for _, p := range w.paths {
			s.path(p, 0)
		}
		if reflect.DeepEqual(s.interests, last) {
			return last, nil
		}
		for dir, in := range s.interests {
			// An ancestor that may not be read cannot be watched either, and need not be. What is gone by now is not found
			// by the next look.
			if err := notify.Add(dir); err != nil && in.everything && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("watching the directory %s: %w", dir, err)
			}
		}
		last = s.interests
	}
}
