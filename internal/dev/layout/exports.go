package main

import (
	"errors"
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/types/objectpath"
)

// unusedExports returns the exported names of a module's packages that no other
// package uses, not even in tests. These count as used:
//
//   - fields with a tag, which are members of a document;
//   - methods with which a type implements an interface;
//   - constants of a type with another constant that is used;
//   - types in the signature of a name that is used;
//   - fields of a struct that another package converts to a type of its own.
func unusedExports(root string) ([]finding, error) {
	list, err := packages.Load(&packages.Config{
		Dir: root, Tests: true,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedModule | packages.NeedForTest |
			packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo,
	}, "./...")
	if err != nil {
		return nil, err
	}
	var faults []error
	u := uses{used: make(map[name]bool), params: make(map[*types.TypeParam]bool)}
	for _, p := range list {
		for _, e := range p.Errors {
			faults = append(faults, e)
		}
		if p.Module != nil {
			u.module = p.Module.Path
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for _, p := range list {
		u.collect(p)
	}
	interfaces := interfacesOf(list)
	var findings []finding
	for _, p := range list {
		if p.ForTest == "" && p.Name != "main" && !strings.HasSuffix(p.ID, ".test") {
			for _, n := range u.unused(p.Types, interfaces) {
				folder := strings.TrimPrefix(p.PkgPath, u.module+"/")
				findings = append(findings, finding{unusedExport, folder + "." + n, "no other package uses it"})
			}
		}
	}
	return findings, nil
}

// A name identifies an object in all variants of its package. (Packages compiled for
// a test have objects of their own.)
type name struct {
	pkg  string
	path objectpath.Path
}

// uses are the names that are used outside of their packages.
type uses struct {
	module  string
	encoder objectpath.Encoder
	used    map[name]bool
	params  map[*types.TypeParam]bool // whose constraints are marked
}

func (u *uses) nameOf(o types.Object) (name, bool) {
	if o == nil || o.Pkg() == nil || o.Pkg().Path() != u.module && !strings.HasPrefix(o.Pkg().Path(), u.module+"/") {
		return name{}, false
	}
	switch v := o.(type) {
	case *types.Func:
		o = v.Origin()
	case *types.Var:
		o = v.Origin()
	}
	path, err := u.encoder.For(o)
	return name{o.Pkg().Path(), path}, err == nil
}

// collect marks what a package uses of other packages.
func (u *uses) collect(p *packages.Package) {
	own := strings.TrimSuffix(p.PkgPath, "_test")
	for _, o := range p.TypesInfo.Uses {
		if o.Exported() && o.Pkg() != nil && o.Pkg().Path() != own && o.Pkg().Path() != p.PkgPath {
			u.mark(o)
		}
	}
	for e := range p.TypesInfo.Types {
		if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 && p.TypesInfo.Types[call.Fun].IsType() {
			u.markFields(p.TypesInfo.TypeOf(call.Args[0]), own)
		}
	}
}

// markFields marks the fields of another package's struct, which is converted to another type.
func (u *uses) markFields(t types.Type, own string) {
	if named, ok := t.(*types.Named); !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() == own {
		return
	}
	if s, ok := t.Underlying().(*types.Struct); ok {
		for f := range s.Fields() {
			u.mark(f)
		}
	}
}

// mark marks an object as used, and the types in its signature.
func (u *uses) mark(o types.Object) {
	n, ok := u.nameOf(o)
	if !ok || u.used[n] {
		return
	}
	u.used[n] = true
	u.markTypes(o.Type())
	switch o := o.(type) {
	case *types.TypeName:
		u.markTypes(o.Type().Underlying())
		if t, ok := o.Type().(*types.Named); ok {
			for param := range t.TypeParams().TypeParams() {
				u.markTypes(param)
			}
		}
	case *types.Func:
		if recv := o.Signature().Recv(); recv != nil {
			u.markTypes(recv.Type())
		}
	}
}

func (u *uses) markTypes(t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		u.mark(t.Obj())
		u.markTypes(types.Unalias(t))
	case *types.Named:
		u.mark(t.Obj())
		for i := range t.TypeArgs().Len() {
			u.markTypes(t.TypeArgs().At(i))
		}
	case interface{ Elem() types.Type }: // pointer, slice, array, channel, map
		u.markTypes(t.Elem())
		if m, ok := t.(*types.Map); ok {
			u.markTypes(m.Key())
		}
	case *types.TypeParam:
		if !u.params[t] {
			u.params[t] = true
			u.markTypes(t.Constraint())
		}
	case *types.Signature:
		for _, tuple := range []*types.Tuple{t.Params(), t.Results()} {
			for v := range tuple.Variables() {
				u.markTypes(v.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			u.markTypes(m.Type())
		}
	case *types.Struct:
		for i := range t.NumFields() {
			if t.Field(i).Embedded() || t.Tag(i) != "" {
				u.markTypes(t.Field(i).Type())
			}
		}
	}
}

// interfacesOf returns the interfaces in the packages and their imports, by the names
// of their methods.
func interfacesOf(list []*packages.Package) map[string][]*types.Interface {
	byMethod := make(map[string][]*types.Interface)
	add := func(t types.Type) {
		if i, ok := t.Underlying().(*types.Interface); ok {
			for m := range i.Methods() {
				byMethod[m.Name()] = append(byMethod[m.Name()], i)
			}
		}
	}
	seen := make(map[*types.Package]bool)
	var visit func(*types.Package)
	visit = func(p *types.Package) {
		if seen[p] {
			return
		}
		seen[p] = true
		for _, n := range p.Scope().Names() {
			if o, ok := p.Scope().Lookup(n).(*types.TypeName); ok {
				add(o.Type())
			}
		}
		for _, other := range p.Imports() {
			visit(other)
		}
	}
	add(types.Universe.Lookup("error").Type())
	for _, p := range list {
		visit(p.Types)
		for _, t := range p.TypesInfo.Types {
			if _, ok := t.Type.(*types.Interface); ok && t.IsType() {
				add(t.Type)
			}
		}
	}
	return byMethod
}

// wellKnown are methods that package errors looks for, through unnamed interfaces.
var wellKnown = []string{"Is", "As", "Unwrap"}

// unused returns the exported names of a package that are not used outside.
func (u *uses) unused(p *types.Package, interfaces map[string][]*types.Interface) []string {
	var list []string
	look := func(o types.Object, prefix string) (used bool) {
		n, ok := u.nameOf(o)
		if !o.Exported() || !ok || u.used[n] {
			return true
		}
		list = append(list, prefix+o.Name())
		return false
	}
	for _, n := range p.Scope().Names() {
		o := p.Scope().Lookup(n)
		if !o.Exported() || u.enumerated(p, o) {
			continue
		}
		used := look(o, "")
		t, ok := o.(*types.TypeName)
		if !used || !ok || t.IsAlias() {
			continue
		}
		named := t.Type().(*types.Named)
		for m := range named.Methods() {
			if !slices.Contains(wellKnown, m.Name()) && !implements(named, interfaces[m.Name()]) {
				look(m, t.Name()+".")
			}
		}
		if s, ok := named.Underlying().(*types.Struct); ok {
			for i := range s.NumFields() {
				if f := s.Field(i); s.Tag(i) == "" && !f.Embedded() {
					look(f, t.Name()+".")
				}
			}
		}
	}
	return list
}

func implements(t *types.Named, interfaces []*types.Interface) bool {
	return slices.ContainsFunc(interfaces, func(i *types.Interface) bool {
		return types.Implements(t, i) || types.Implements(types.NewPointer(t), i)
	})
}

// enumerated reports whether an object is a constant of a type of its package, and
// another constant of that type is used.
func (u *uses) enumerated(p *types.Package, o types.Object) bool {
	c, ok := o.(*types.Const)
	if !ok {
		return false
	}
	t, ok := c.Type().(*types.Named)
	if !ok || t.Obj().Pkg() != p {
		return false
	}
	for _, n := range p.Scope().Names() {
		if other, ok := p.Scope().Lookup(n).(*types.Const); ok && other.Exported() && types.Identical(other.Type(), t) {
			if n, ok := u.nameOf(other); ok && u.used[n] {
				return true
			}
		}
	}
	return false
}
