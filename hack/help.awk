# Prints the sections, targets and variables of a Makefile that a "##" comment documents.
BEGIN { FS = " *## *" }
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[A-Z_]+ *\?=.*## / {
	split($1, part, / *\?= */)
	printf "  %-16s %s%s\n", part[1], $2, part[2] == "" ? "" : " [" part[2] "]"
}
/^[a-z-]+:.*## / { sub(/:.*/, "", $1); printf "  %-16s %s\n", $1, $2 }
