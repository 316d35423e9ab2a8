package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/svcctl/svcctl/internal/safefile"
)

// Pending is a change that goes back by itself unless it is confirmed. It is written before the change is made, and only the
// holder of the lock writes or removes it.
type Pending struct {
	// Token tells this change from any other that may come to wait later.
	Token string `json:"token"`
	// Before is the serial number of the record to go back to; 0: nothing was applied.
	Before   uint64    `json:"before"`
	Deadline time.Time `json:"deadline"`
	// Unit is the systemd timer that goes back, "" where a process of ours does.
	Unit string `json:"unit,omitempty"`
	PID  int    `json:"pid,omitempty"` // of that process
}

func (s *Store) pendingPath() string { return filepath.Join(s.Dir(), pendingFile) }

// LoadPending gives the change that waits to be confirmed, nil for none. A file that cannot be read as one is a
// [*DamagedError].
func (s *Store) LoadPending() (*Pending, error) {
	d, err := s.open("")
	var data []byte
	if err == nil {
		defer d.Close()
		data, err = d.Read(pendingFile, maxPending)
	}
	var over *safefile.LimitError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &over):
		return nil, &DamagedError{s.pendingPath(), over.Error()}
	case err != nil:
		return nil, fmt.Errorf("the change that waits to be confirmed: %w", err)
	}
	p := &Pending{}
	if err := json.Unmarshal(data, p); err != nil || p.Token == "" {
		return nil, &DamagedError{s.pendingPath(), "it does not say which change waits to be confirmed"}
	}
	return p, nil
}

// SavePending notes a change that waits to be confirmed, in place of any other.
func (s *Store) SavePending(p *Pending) error {
	data, err := json.Marshal(p)
	if err == nil {
		err = s.replace(pendingFile, data)
	}
	if err != nil {
		return fmt.Errorf("noting the change that waits to be confirmed: %w", err)
	}
	return nil
}

// RemovePending notes that nothing waits to be confirmed any more.
func (s *Store) RemovePending() error {
	if err := s.in(func(d *safefile.Dir) error { return d.Remove(pendingFile) }); err != nil {
		return fmt.Errorf("the change that waits to be confirmed: %w", err)
	}
	return nil
}

// CreateLog makes the file that tells what became of a change that nobody confirmed.
func (s *Store) CreateLog() (*os.File, error) {
	d, err := s.open("")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Create(logFile)
}
