package state

import (
	"encoding/binary"
	"errors"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// The documents of a record are a blob: the version of this form, the number of documents, and for each its key and four
// texts, the kind, namespace and name of its object and the name of its Service. Numbers are varints, and a text is behind
// its length.
const documentsVersion = 1

// errDocuments says that a blob is no list of documents of this version.
var errDocuments = errors.New("not a list of documents")

func encodeDocuments(documents []manifest.Document) []byte {
	b := make([]byte, 0, 16+96*len(documents))
	b = binary.AppendUvarint(b, documentsVersion)
	b = binary.AppendUvarint(b, uint64(len(documents)))
	for i := range documents {
		d := &documents[i]
		b = append(b, d.Key[:]...)
		for _, text := range [...]string{d.Object.Kind, d.Object.Namespace, d.Object.Name, d.Service} {
			b = binary.AppendUvarint(b, uint64(len(text)))
			b = append(b, text...)
		}
	}
	return b
}

// decodeDocuments is the inverse of encodeDocuments. It takes no more memory than the bytes justify.
func decodeDocuments(data []byte) ([]manifest.Document, error) {
	rest, bad := string(data), false // one copy, of which all texts are pieces
	number := func() uint64 {
		var n uint64
		for shift := 0; shift < 64; shift += 7 {
			if len(rest) == 0 {
				break
			}
			c := rest[0]
			rest = rest[1:]
			if n |= uint64(c&0x7f) << shift; c < 0x80 {
				return n
			}
		}
		bad = true
		return 0
	}
	take := func(n uint64) string {
		if n > uint64(len(rest)) {
			bad, rest = true, ""
			return ""
		}
		text := rest[:n]
		rest = rest[n:]
		return text
	}
	const smallest = len(manifest.Key{}) + 4
	if number() != documentsVersion {
		return nil, errDocuments
	}
	n := number()
	if n > uint64(len(rest)/smallest) {
		return nil, errDocuments
	}
	out := make([]manifest.Document, n)
	for i := range out {
		d := &out[i]
		copy(d.Key[:], take(uint64(len(d.Key))))
		d.Object = diag.Object{Kind: take(number()), Namespace: take(number()), Name: take(number())}
		d.Service = take(number())
	}
	if bad || rest != "" {
		return nil, errDocuments
	}
	return out, nil
}

// Documents gives the documents of the manifests of a record, in their order; none where they are not recorded.
func (s *Store) Documents(r *Record) ([]manifest.Document, error) {
	if r.Documents == "" {
		return nil, nil
	}
	blobs, err := s.openBlobs()
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	data, err := s.readBlob(blobs, r.Documents)
	if err != nil {
		return nil, err
	}
	documents, err := decodeDocuments(data)
	if err != nil {
		return nil, &DamagedError{blobs.Path(r.Documents), err.Error()}
	}
	return documents, nil
}
