package manifest

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unsafe"
)

const byteOrderMark = "\uFEFF"

// sourceText gives the text of a file as UTF-8 without a byte order mark and with line feeds where there were lone carriage returns.
// UTF-16 with a byte order mark is what some editors on Windows write, and kubectl reads it.
func sourceText(data []byte) (string, error) {
	switch {
	case len(data) >= 2 && data[0] == 0xff && data[1] == 0xfe:
		return utf16Text(data[2:], binary.LittleEndian)
	case len(data) >= 2 && data[0] == 0xfe && data[1] == 0xff:
		return utf16Text(data[2:], binary.BigEndian)
	}
	// Not a copy: files are large, and nobody changes them (see [Source]).
	text := unsafe.String(unsafe.SliceData(data), len(data))
	return lineFeeds(strings.TrimPrefix(text, byteOrderMark)), nil
}

func utf16Text(data []byte, order binary.ByteOrder) (string, error) {
	if len(data)%2 != 0 {
		return "", errors.New("not UTF-16: it ends in half a character")
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return lineFeeds(string(utf16.Decode(units))), nil
}

// lineFeeds makes line feeds of lone carriage returns: YAML ends a line there, and so do editors. Lengths stay.
func lineFeeds(text string) string {
	if strings.IndexByte(text, '\r') < 0 || strings.Count(text, "\r") == strings.Count(text, "\r\n") {
		return text
	}
	b := []byte(text)
	for i, c := range b {
		if c == '\r' && (i+1 == len(b) || b[i+1] != '\n') {
			b[i] = '\n'
		}
	}
	return string(b)
}
