/* The proxy role. */
#ifndef POSTERN_FRONT_PROXY_H
#define POSTERN_FRONT_PROXY_H

/* The whole life of a proxy process; returns its exit status. Called in a fresh process with the control channel at descriptor 3. */
int proxy_process(void);

#endif
