/* The deliver process: all durable writing of mail, and the ledger. What it answered 250 is on the disk. */
#ifndef POSTERN_DELIVER_DELIVER_H
#define POSTERN_DELIVER_DELIVER_H

/* The whole life of the role; the result is the exit status. */
int deliver_process(void);

#endif
