package head

// refPage is the number of consecutive references that a page of [refTable] holds.
const refPage = 64

// refTable leads from the log's references to series while the log is read. References are mostly consecutive: one
// look-up in a map serves a whole page, and each takes four bytes.
type refTable struct {
	pages map[uint64]*[refPage]uint32 // Ids plus one.
	last  uint64
	page  *[refPage]uint32
}

func newRefTable() refTable { return refTable{pages: map[uint64]*[refPage]uint32{}} }

func (r *refTable) get(ref uint64) (id uint32, ok bool) {
	if n := ref / refPage; r.page == nil || n != r.last {
		p := r.pages[n]
		if p == nil {
			return 0, false
		}
		r.page, r.last = p, n
	}
	id = r.page[ref%refPage]
	return id - 1, id != 0
}

func (r *refTable) set(ref uint64, id uint32) {
	n := ref / refPage
	p := r.pages[n]
	if p == nil {
		p = new([refPage]uint32)
		r.pages[n] = p
	}
	p[ref%refPage] = id + 1
}
