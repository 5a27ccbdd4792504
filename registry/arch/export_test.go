package arch

// LimitSteps sets a lower limit of steps; what it returns puts the limit back.
func LimitSteps(n int64) (restore func()) {
	before := stepLimit
	stepLimit = n
	return func() { stepLimit = before }
}
