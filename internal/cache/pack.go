package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"strings"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// The file: a header of
//
//	16 bytes  magic, with the version of this layout
//	32 bytes  SHA-256 of the name of the build
//	32 bytes  SHA-256 of all that follows
//	 4 bytes  number of entries
//
// then the index, sorted by key, of entries of
//
//	32 bytes  key
//	 4 bytes  where the value ends, counted from the end of the index
//	 4 bytes  day of last use, since 1970
//
// and then the values, in the order of the index. Numbers are little-endian.
const (
	magic      = "svcctl decoded 1"
	headerSize = 16 + 32 + 32 + 4
	indexSize  = 32 + 4 + 4

	// maxFile is the size of the largest file that is read or written: 500,000 documents or so.
	maxFile = 256 << 20
	// maxValue is the longest value that is kept.
	maxValue = 16 << 20
)

// pack is the content of a file.
type pack struct {
	count  int
	index  string
	values string
	// first is, by the first bits of a key, the first entry whose key begins with them or with more.
	first []int32
	shift int
}

// load reads a file of a size that this build wrote.
func load(r io.Reader, size int64, build string) (*pack, error) {
	if size < headerSize {
		return nil, errors.New("not a cache: too short")
	}
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	switch {
	case string(header[:len(magic)]) != magic:
		return nil, errors.New("not a cache of this version")
	case string(header[16:48]) != digest(build):
		return nil, errors.New("of another build of svcctl")
	}
	var (
		rest strings.Builder // which becomes a string without a copy
		sum  = sha256.New()
	)
	rest.Grow(int(size - headerSize))
	sum.Write(header[80:])
	n, err := io.CopyBuffer(io.MultiWriter(&rest, sum), io.LimitReader(r, size-headerSize), make([]byte, 64<<10))
	switch {
	case err != nil:
		return nil, err
	case n != size-headerSize, string(header[48:80]) != string(sum.Sum(nil)):
		return nil, errors.New("damaged: its checksum does not match")
	}
	return newPack(int64(binary.LittleEndian.Uint32(header[80:])), rest.String())
}

// newPack gives the pack of what follows a header.
func newPack(count int64, rest string) (*pack, error) {
	if count*indexSize > int64(len(rest)) {
		return nil, errors.New("damaged: its index is longer than the file")
	}
	p := &pack{count: int(count), index: rest[:count*indexSize], values: rest[count*indexSize:]}
	width := bits.Len(uint(count))
	p.shift = 64 - width
	p.first = make([]int32, 1<<width+1)
	for i := range p.count {
		p.first[p.bucket(p.index[i*indexSize:])+1]++
	}
	for b := range len(p.first) - 1 {
		p.first[b+1] += p.first[b]
	}
	return p, nil
}

// bucket gives the first bits of a key.
func (p *pack) bucket(key string) uint64 {
	return (uint64(number(key)) | uint64(number(key[4:]))<<32) >> p.shift
}

// find gives the entry of a key, -1 where there is none.
func (p *pack) find(k *manifest.Key) int {
	bucket := binary.LittleEndian.Uint64(k[:]) >> p.shift
	for i := int(p.first[bucket]); i < int(p.first[bucket+1]); i++ {
		if p.index[i*indexSize:i*indexSize+len(k)] == string(k[:]) {
			return i
		}
	}
	return -1
}

// value gives the value of an entry.
func (p *pack) value(i int) (string, bool) {
	start := uint32(0)
	if i > 0 {
		start = number(p.index[(i-1)*indexSize+32:])
	}
	end := number(p.index[i*indexSize+32:])
	if start > end || uint64(end) > uint64(len(p.values)) {
		return "", false
	}
	return p.values[start:end], true
}

// day gives the day of an entry's last use.
func (p *pack) day(i int) uint32 { return number(p.index[i*indexSize+36:]) }

// entry gives an entry.
func (p *pack) entry(i int) (entry, bool) {
	e := entry{key: manifest.Key([]byte(p.index[i*indexSize:][:32])), day: p.day(i)}
	value, ok := p.value(i)
	e.value = value
	return e, ok
}

// format gives the content of a file.
func format(build string, entries []entry) []byte {
	size := headerSize + len(entries)*indexSize
	for _, e := range entries {
		size += len(e.value)
	}
	b := make([]byte, headerSize, size)
	copy(b, magic)
	copy(b[16:], digest(build))
	binary.LittleEndian.PutUint32(b[80:], uint32(len(entries)))
	end := 0
	for _, e := range entries {
		end += len(e.value)
		b = append(b, e.key[:]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(end))
		b = binary.LittleEndian.AppendUint32(b, e.day)
	}
	for _, e := range entries {
		b = append(b, e.value...)
	}
	sum := sha256.Sum256(b[80:])
	copy(b[48:], sum[:])
	return b
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return string(sum[:])
}

// number reads the number a text begins with.
func number(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// compareKeys orders keys so that those that begin with the same bits, as bucket sees them, stand together.
func compareKeys(a, b manifest.Key) int {
	if x, y := binary.LittleEndian.Uint64(a[:]), binary.LittleEndian.Uint64(b[:]); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	return bytes.Compare(a[:], b[:])
}
