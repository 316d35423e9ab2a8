package graph

import "fmt"

// FieldsOf gives the fields that an expression yields as a key, one per part of a concatenation, or an error where the
// expression cannot be looked up.
func FieldsOf(x Expr) ([]Field, error) {
	switch x := x.(type) {
	case Payload:
		if x == DestPort {
			return []Field{PortField}, nil
		}
		return []Field{AddrField}, nil
	case L4Proto:
		return []Field{ProtoField}, nil
	case Ct:
		switch x {
		case CtOriginalSource, CtOriginalDest:
			return []Field{AddrField}, nil
		case CtOriginalDestPort:
			return []Field{PortField}, nil
		case CtState, CtStatus:
			return nil, fmt.Errorf("connection bits are not a key")
		}
	case Masked:
		fields, err := FieldsOf(x.X)
		if err == nil && (len(fields) != 1 || fields[0] != AddrField) {
			err = fmt.Errorf("only an address can be masked")
		}
		return fields, err
	case Numgen, Jhash:
		return []Field{SlotField}, nil
	case FibType:
		return nil, fmt.Errorf("an address type is not a key")
	case Concat:
		var fields []Field
		for _, part := range x {
			f, err := FieldsOf(part)
			if err != nil {
				return nil, err
			}
			fields = append(fields, f...)
		}
		return fields, nil
	}
	panic(fmt.Sprintf("graph: unhandled expression %T", x))
}

// matches says whether the expression can be compared with the value.
func matches(x Expr, v Value) bool {
	switch v.(type) {
	case Proto:
		return x == Expr(L4Proto{})
	case AddrType:
		_, ok := x.(FibType)
		return ok
	case CtStateBit:
		return x == Expr(CtState)
	case CtStatusBit:
		return x == Expr(CtStatus)
	}
	panic(fmt.Sprintf("graph: unhandled value %T", v))
}
