/* What can be wrong with the text of an SPF record, one row each: found while parsing, said to the administrator. */
#ifndef POSTERN_FILTERS_SPF_SYNTAX_H
#define POSTERN_FILTERS_SPF_SYNTAX_H

#define SPF_SYNTAX_ERRORS(X) \
	X(SPF_SYNTAX_OK, "ok") \
	X(SPF_SYNTAX_BAD_CHARACTER, "a character that is not visible ASCII") \
	X(SPF_SYNTAX_UNKNOWN_MECHANISM, "unknown mechanism") \
	X(SPF_SYNTAX_UNEXPECTED_ARGUMENT, "this mechanism takes no such argument") \
	X(SPF_SYNTAX_NO_DOMAIN, "the domain name is missing") \
	X(SPF_SYNTAX_BAD_DOMAIN, "the domain name must end in a macro or in a dot and a top-level label") \
	X(SPF_SYNTAX_DOMAIN_IS_ADDRESS, "an IP address where a domain name belongs") \
	X(SPF_SYNTAX_BAD_PERCENT, "'%' must be followed by '{', '%', '_' or '-'") \
	X(SPF_SYNTAX_UNKNOWN_MACRO, "unknown macro letter") \
	X(SPF_SYNTAX_MACRO_FOR_EXPLANATIONS, "macro letters c, r and t are for explanations only") \
	X(SPF_SYNTAX_BAD_MACRO, "malformed macro") \
	X(SPF_SYNTAX_ZERO_PARTS, "a macro cannot keep zero parts") \
	X(SPF_SYNTAX_BAD_ADDRESS, "malformed IP address") \
	X(SPF_SYNTAX_BAD_PREFIX_LENGTH, "bad prefix length") \
	X(SPF_SYNTAX_REPEATED_MODIFIER, "redirect= and exp= must not stand twice")

enum spf_syntax {
#define X(name, text) name,
	SPF_SYNTAX_ERRORS(X)
#undef X
};
const char *spf_syntax_text(enum spf_syntax error);

#endif
