"""What the reasons of dev environments and their services mean, and what to do about them."""

from __future__ import annotations

from deploy.command.remedy import Remedy

OF_DEVENVS: tuple[Remedy, ...] = (
    Remedy(
        "`PrerequisitesMissing` (condition `Prerequisites`)",
        "a dev environment needs something that is not there; `status.missing` lists all of it",
        "switch it on (`spec.enabled`), name the token's own organisation or none "
        "(`spec.flyOrg`) or a region on offer (`spec.region`) with `kubectl edit devenv`, replace "
        "the controller's `FLY_API_TOKEN`, or make room: `kubectl patch account ACCOUNT "
        '--type=merge -p \'{"spec": {"quota": {"devenvs": 4}}}\'`; looked at again every minute',
    ),
    Remedy(
        "`NamesAreFixed`",
        "the wish has another client or app than those that the Fly apps are called after",
        "wish for the old ones again (`kubectl get devenv NAME -n ACCOUNT -o "
        "jsonpath='{.status.prefix}'`); for other names make another dev environment",
    ),
    Remedy(
        "`InvalidMachine`",
        "the row of one of its Machines breaks its kind's rules (an edit by SQL)",
        "correct the field that the message names, with `kubectl edit machine`; do not delete the "
        "Machine: its disk would go with it",
    ),
    Remedy(
        "`Degraded`",
        "a service that was well does not answer; users are told so (`connection: Unsafe`)",
        "it is restarted like every machine; `invoker why machine NAME-SERVICE -n ACCOUNT` says "
        "what that one waits for",
    ),
    Remedy(
        "`DatabaseRefused`",
        "psql or a script in the database's machine ended with an error; the message has its words",
        "tried again every 5 s; look for yourself with `fly ssh console -a devenv-CLIENT-APP-pg "
        "-C 'psql -h 127.0.0.1 -U supabase_admin postgres'`",
    ),
    Remedy(
        "`NoSuchRole`",
        "the database's image does not make the roles that services log in as",
        "wish for an image of supabase/postgres, or for the usual one: `kubectl patch devenv NAME "
        '-n ACCOUNT --type=merge -p \'{"spec": {"images": {"postgres": null}}}\'`',
    ),
    Remedy(
        "`SecretMissing`, `SecretInvalid`",
        "a service's secret variables are not among the secrets, or are no JSON object of strings",
        "have them made anew with new keys: `kubectl patch devenv NAME -n ACCOUNT --type=merge "
        r'-p "{\"spec\": {\"rotateAt\": \"$(date -u +%FT%TZ)\"}}"`; looked at again every minute',
    ),
    Remedy(
        "`SourceMissing`",
        "the disk of files was to begin as a copy of the old one in a move, and that is gone",
        "looked at again every minute; `invoker why machine NAME-storage -n ACCOUNT` says what "
        "became of the old disk, and what was on it comes back from a snapshot alone (`fly volumes "
        "snapshots list VOLUME`)",
    ),
    Remedy(
        "`SecretUnreadable`",
        "no key that the controller has decrypts a secret",
        "put the key that is missing back into `INVOKER_ENCRYPTION_KEYS` and restart the "
        "controllers",
    ),
    Remedy(
        "`Stop`, `Create`, `Copy`, `Verify`, `Switch`, `Remove` (condition Moving)",
        "its data moves to another region; `status.move` says how far that is",
        "none; until `Switch` a wish for the old region (`kubectl patch devenv NAME -n ACCOUNT "
        '--type=merge -p \'{"spec": {"region": "yyz"}}\'`) gives it up, and nothing is lost',
    ),
    Remedy(
        "`CopyFailed`",
        "the dump or the restore of a move ended with an error; the message has its words",
        "begun anew by itself; if the disk is full, wish for a larger `volumeGb`; or give the move "
        "up by wishing for the old region again: the old database is as it was",
    ),
    Remedy(
        "`DataDiffers`",
        "somebody wrote to the old database while it was copied",
        "copied anew by itself; the services rest, so it is somebody with a password: `SELECT "
        "usename, client_addr, query FROM pg_stat_activity` in the old database tells who",
    ),
    Remedy(
        "`IdleUnknown` (`NoMetrics`)",
        "its minutes without traffic are over, and the provider's metrics tell nothing of traffic",
        "it is kept up; look at the provider's metrics (the log has `cannot ask for usage`), or "
        "stop it: `kubectl scale devenv NAME -n ACCOUNT --replicas=0`",
    ),
    Remedy(
        "`StatusLost`",
        "its status was lost in the middle of a move, and there are two databases",
        "look into both (`fly ssh console -a devenv-CLIENT-APP-pg -s -C 'psql -h 127.0.0.1 -U "
        "supabase_admin -l'`): one with a database `invoker_moving` was still being copied to; "
        "snapshot both disks (`fly volumes snapshots create VOLUME`), then delete the Machine that "
        "is not the one: `kubectl delete machine NAME -n ACCOUNT`",
    ),
    Remedy(
        "`RlsDrift` (`ChangedByHand`)",
        "somebody changed row-level security in the database; the message lists the tables",
        "none needed: a database belongs to its developers; `invoker restart devenv NAME -n "
        "ACCOUNT` applies the mode again",
    ),
    Remedy(
        "`BuildTriggered`, `BuildSlow` (condition NetlifyCurrent)",
        "the front end is told the address and the public key, and is built with them",
        "none: followed by itself; what takes longer than 30 minutes is to be looked at in "
        "Netlify's list of builds",
    ),
    Remedy(
        "`NoToken`",
        "the dev environment names a front end, and this installation has no token of Netlify's",
        "put one into the controller's `NETLIFY_AUTH_TOKEN` and restart it, or drop the front end: "
        '`kubectl patch devenv NAME -n ACCOUNT --type=merge -p \'{"spec": {"netlify": null}}\'`',
    ),
    Remedy(
        "`MachineNotOurs`",
        "a workspace and a dev environment of one account have names that make one Machine's name",
        "give one of them another name: neither touches what the other has",
    ),
    Remedy(
        "`SiteNotTheirs`",
        "the dev environment names a front end that nobody has said is the account's",
        "if it is: `kubectl edit account ACCOUNT` and add the site's id to `spec.netlifySites`",
    ),
    Remedy(
        "`SiteNotFound`",
        "Netlify knows no such site in that team, or the token does not open it",
        "correct `spec.netlify.site` and `spec.netlify.team` with `kubectl edit devenv`; looked at "
        "again every 10 minutes",
    ),
    Remedy(
        "`BuildFailed`, `BuildGone` (event `FrontEndFailed`)",
        "the front end's build with the new address and key failed, or Netlify forgot it",
        "read the build's log at Netlify and build again there: the variables are written already",
    ),
)
