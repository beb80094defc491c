package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Digits and signs have forms of their own above and below the line. Commas stay: those of ¹,² are small enough.
var (
	above = strings.NewReplacer("0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹", "+", "⁺", "-", "⁻", "−", "⁻", "–", "⁻")
	below = strings.NewReplacer("0", "₀", "1", "₁", "2", "₂", "3", "₃", "4", "₄", "5", "₅", "6", "₆", "7", "₇", "8", "₈", "9", "₉", "+", "₊", "-", "₋", "−", "₋", "–", "₋")
)

// ordinals and signs stand above the line without being an exponent.
var (
	ordinals = names("st nd rd th er re ème eme")
	signs    = names("TM SM")
)

// script returns the text of a <sup> or <sub> behind base, so that 10<sup>8</sup> does not become 108: 10⁸, x^(n+1), H₂O.
func script(element, text string, base rune) string {
	text = inOneLine(text)
	small, mark := above, "^"
	if element == "sub" {
		small, mark = below, "_"
	}
	first, _ := utf8.DecodeRuneInString(text)
	based := unicode.IsLetter(base) || unicode.IsDigit(base) || strings.ContainsRune(")]}）】′'", base) ||
		unicode.In(base, unicode.No, unicode.Sm)
	switch {
	case text == "":
		return ""
	case isASCIIWord(base) && mark == "^" && first == '(' && strings.HasSuffix(text, ")") && strings.ContainsFunc(text, isASCIILetter):
		return mark + text // f^(n)
	case strings.Trim(text, "0123456789+-−–,，、") == "":
		return small.Replace(text)
	case !based, !unicode.IsLetter(first) && !unicode.IsDigit(first) && !strings.ContainsRune("+-−√", first):
		return text // [3], *, (1)
	case mark == "^" && (isDigit(base) && ordinals[text] || signs[text]), strings.ContainsFunc(text, isIdeograph):
		return text
	case mark == "^" && text == "o" && isDigit(base):
		return "°"
	case utf8.RuneCountInString(text) == 1, mark == "_" && !strings.ContainsFunc(text, notWord), strings.Trim(text, "0123456789.") == "":
		return mark + text
	}
	return mark + "(" + text + ")"
}

func isASCIILetter(r rune) bool { return r < utf8.RuneSelf && unicode.IsLetter(r) }

func notWord(r rune) bool { return !isWord(r) }

func isIdeograph(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}
