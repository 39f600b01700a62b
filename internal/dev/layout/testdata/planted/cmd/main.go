// Command cmd is a command: nothing can import it.
package main

type Exported struct{}

func main() {
	for i := range 3 {
		switch {
		case i == 1 && i > 0, i == 2 || i < 0:
		default:
			func() {
				if i > 1 {
					return
				}
			}()
		}
	}
}
