/* The journal process: writes the log lines and the trace. Everything it holds may be lost without harm to mail. */
#ifndef POSTERN_JOURNAL_JOURNAL_H
#define POSTERN_JOURNAL_JOURNAL_H

/* The whole life of the role; the result is the exit status. */
int journal_process(void);

#endif
