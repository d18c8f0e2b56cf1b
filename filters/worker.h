/* The process that runs filters for the proxies: no network, no files, one job at a time. */
#ifndef POSTERN_FILTERS_WORKER_H
#define POSTERN_FILTERS_WORKER_H

/* The whole life of a process of role auth; the result is its exit status. 0 without an order of the master: it has run its share of jobs
 * (auth_worker_recycle) and wants to be replaced. */
int auth_worker_process(void);

#endif
