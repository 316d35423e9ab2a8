package trace

import (
	"encoding/binary"
	"math/bits"
)

// scale maps a hash to [0, mod) (include/linux/kernel.h, reciprocal_scale).
func scale(h, mod uint32) uint32 { return uint32(uint64(h) * uint64(mod) >> 32) }

// jhash is the kernel's hash of a byte string whose length is a multiple of four, as a little-endian machine computes it:
// Bob Jenkins' lookup3 (include/linux/jhash.h).
func jhash(key []byte, seed uint32) uint32 {
	const initial = 0xdeadbeef // JHASH_INITVAL
	a := initial + uint32(len(key)) + seed
	b, c := a, a
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(key[4*i:]) }
	for len(key) > 12 {
		a, b, c = jhashMix(a+word(0), b+word(1), c+word(2))
		key = key[12:]
	}
	switch len(key) / 4 {
	case 3:
		c += word(2)
		fallthrough
	case 2:
		b += word(1)
		fallthrough
	case 1:
		a += word(0)
	default:
		return c
	}
	return jhashFinal(a, b, c)
}

func jhashMix(a, b, c uint32) (uint32, uint32, uint32) {
	a, c = (a-c)^bits.RotateLeft32(c, 4), c+b
	b, a = (b-a)^bits.RotateLeft32(a, 6), a+c
	c, b = (c-b)^bits.RotateLeft32(b, 8), b+a
	a, c = (a-c)^bits.RotateLeft32(c, 16), c+b
	b, a = (b-a)^bits.RotateLeft32(a, 19), a+c
	c, b = (c-b)^bits.RotateLeft32(b, 4), b+a
	return a, b, c
}

func jhashFinal(a, b, c uint32) uint32 {
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	return (c ^ b) - bits.RotateLeft32(b, 24)
}
