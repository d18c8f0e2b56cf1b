/* The program postern-faults: postern's own objects and libraries, and beside the built-in filters one named "fault" that does what a broken or
 * hostile plugin might do. The linker puts it in (-Wl,--wrap, see the Makefile); nothing in the product knows of it.
 * What it does says the local part of the sender: <abort@...>, <slow-300@...>. Any other sender's mail it accepts. */
#ifndef POSTERN_FAULTS_H
#define POSTERN_FAULTS_H

#include "filters/filter.h"

extern const struct filter fault_filter;
/* Spoils the next answer of this worker, as one that has been taken over might: forgery.c knows the names. NULL: the answer is honest. */
void forgery_choose(const char *how);

#endif
