package expr

import "strings"

// String writes the expression with every grouping explicit, in parentheses.
func (n *Node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *Node) write(b *strings.Builder) {
	if n == nil {
		return
	}
	list := func(open string, args []*Node, separator, end string) {
		b.WriteString(open)
		for i, a := range args {
			if i > 0 {
				b.WriteString(separator)
			}
			a.write(b)
		}
		b.WriteString(end)
	}
	switch n.Op {
	case OpConst:
		b.WriteString(n.Value.String())
	case OpName, OpGlob:
		b.WriteString(n.Text)
	case OpRegex:
		b.WriteString("/" + strings.ReplaceAll(n.Text, "/", `\/`) + "/")
	case OpCall:
		list(n.Text+"(", n.Args, ", ", ")")
	case OpList:
		list("[", n.Args, ", ", "]")
	case OpIndex:
		n.Args[0].write(b)
		list("[", n.Args[1:], ", ", "]")
	case OpSlice:
		n.Args[0].write(b)
		b.WriteByte(':')
		n.Args[1].write(b)
		if n.Args[2] != nil {
			b.WriteByte(':')
			n.Args[2].write(b)
		}
	case OpIf:
		b.WriteByte('(')
		n.Args[1].write(b)
		b.WriteString(" if ")
		n.Args[0].write(b)
		list(" else ", n.Args[2:], "", ")")
	case OpFor:
		n.Args[0].write(b)
		list(" for "+n.Text+" in ", n.Args[1:], "", "")
	case OpNot:
		list("(not ", n.Args, "", ")")
	case OpNeg:
		list("(-", n.Args, "", ")")
	case OpRange:
		list("", n.Args, "..", "")
	default:
		list("(", n.Args, " "+n.Op+" ", ")")
	}
}
