package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/svcctl/svcctl/internal/safefile"
)

// The record's file: a line with the format and its version, a line with the SHA-256 of everything below, a line of JSON,
// and a line for each Service with its digest, of which there may be too many for JSON to be quick. The manifests and the
// ruleset are blobs beside it.
const (
	magic   = "svcctl-applied "
	version = 2
)

// DamagedError says that a record cannot be used.
type DamagedError struct {
	Path, Reason string
}

// Error names the file and what is wrong with it.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the record %s cannot be used: %s", e.Path, e.Reason)
}

func (s *Store) recordPath() string { return filepath.Join(s.Dir(), recordFile) }

// Load reads the record of what is applied. Where there is none its error is [fs.ErrNotExist], and a [*DamagedError] where
// there is one that cannot be used.
func (s *Store) Load() (*Record, error) {
	d, err := s.open("")
	if err != nil {
		return nil, fmt.Errorf("the record of what was applied: %w", err)
	}
	defer d.Close()
	return load(d, recordFile, decode)
}

// load reads a record, or with decodeParts what it is made of.
func load(d *safefile.Dir, name string, decode func([]byte) (*Record, error)) (*Record, error) {
	data, err := d.Read(name, maxRecord)
	var over *safefile.LimitError
	if errors.As(err, &over) {
		return nil, &DamagedError{d.Path(name), over.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("the record of what was applied: %w", err)
	}
	r, err := decode(data)
	if err != nil {
		return nil, &DamagedError{d.Path(name), err.Error()}
	}
	return r, nil
}

func decode(data []byte) (*Record, error) {
	r, rest, err := parse(data)
	if err != nil {
		return nil, err
	}
	r.Services = make(map[string]string, bytes.Count(rest, []byte("\n")))
	for line := range bytes.Lines(rest) {
		service, digest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		r.Services[string(service)] = string(digest)
	}
	return r, nil
}

// decodeParts is decode without the Services, of which there may be very many.
func decodeParts(data []byte) (*Record, error) {
	r, _, err := parse(data)
	return r, err
}

// parse reads all of a record but the lines of the Services, which it gives.
func parse(data []byte) (r *Record, services []byte, err error) {
	sum, body, err := parseHead(data)
	if err != nil {
		return nil, nil, err
	}
	if checksum(body) != sum {
		return nil, nil, errors.New("its checksum does not match: it was cut short or changed")
	}
	line, rest, _ := bytes.Cut(body, []byte("\n"))
	r = &Record{sum: sum}
	return r, rest, json.Unmarshal(line, r)
}

// parseHead reads the two lines in front of a record.
func parseHead(data []byte) (sum string, body []byte, err error) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	number, ok := bytes.CutPrefix(head, []byte(magic))
	if !ok {
		return "", nil, errors.New("it is not one that svcctl wrote")
	}
	if v, err := strconv.Atoi(string(number)); err != nil || v != version {
		return "", nil, fmt.Errorf("it has the format %q, and this svcctl reads %d", number, version)
	}
	line, body, _ := bytes.Cut(rest, []byte("\n"))
	return string(line), body, nil
}

// Current reports whether a record that was loaded before is still the one in force. Nil stands for none that can be used.
func (s *Store) Current(r *Record) bool {
	d, err := s.open("")
	if err != nil {
		return r == nil
	}
	defer d.Close()
	f, _, err := d.OpenFile(recordFile)
	if err != nil {
		return r == nil
	}
	defer f.Close() //nolint:errcheck // only read from
	head := make([]byte, len(magic)+len(strconv.Itoa(version))+1+2*sha256.Size+1)
	n, _ := f.ReadAt(head, 0) // a file that is too short has no head
	sum, _, err := parseHead(head[:n])
	if err != nil || r == nil {
		return err != nil && r == nil
	}
	return r.sum == sum
}

func encode(r *Record) ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	body := bytes.NewBuffer(make([]byte, 0, len(line)+1+100*len(r.Services)))
	body.Write(line)
	body.WriteByte('\n')
	for _, service := range slices.Sorted(maps.Keys(r.Services)) {
		body.WriteString(service)
		body.WriteByte(' ')
		body.WriteString(r.Services[service])
		body.WriteByte('\n')
	}
	head := magic + strconv.Itoa(version) + "\n" + checksum(body.Bytes()) + "\n"
	return append([]byte(head), body.Bytes()...), nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
